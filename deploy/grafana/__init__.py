"""The dashboard: its panels, its JSON, and a preview without Grafana."""
