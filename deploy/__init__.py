"""Deployment: images, monitoring, Kubernetes. Nothing in service/ imports this."""
