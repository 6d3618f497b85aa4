"""What operators see: log lines, request metrics, traces."""
