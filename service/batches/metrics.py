"""The batches' Prometheus metrics."""

from prometheus_client import Counter, Gauge

WAITING = Gauge(
    "minigpt4_batch_lines_waiting",
    "Lines of batches that wait for their turn.",
    multiprocess_mode="livesum",
)
RUNNING = Gauge(
    "minigpt4_batch_lines_running", "Lines of batches that run now.", multiprocess_mode="livesum"
)
LINES = Counter(
    "minigpt4_batch_lines",
    "Lines of batches that have finished, by outcome: completed, or failed (errors and expired lines).",
    ["outcome"],
)
BATCHES = Counter("minigpt4_batches", "Batches that have finished, by status.", ["status"])
for _outcome in ("completed", "failed"):
    LINES.labels(_outcome)  # a rate can only be computed from a series that starts at 0
for _status in ("failed", "completed", "expired", "cancelled"):
    BATCHES.labels(_status)
