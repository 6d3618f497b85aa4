"""Prometheus: what it reads, the alert rules and their tests."""
