"""The dashboard: what its panels show, how it is written, and how to look at it without Grafana."""
