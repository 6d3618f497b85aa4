"""Running the service elsewhere: images, measurements, Kubernetes. Nothing in service/ needs this."""
