"""Measurements of a running service. Nothing here is imported by the service."""
