"""The encoder's Prometheus metrics; ``/metrics`` shows them beside vLLM's own."""

from prometheus_client import Counter, Gauge, Histogram

OUTCOMES = ("encoded", "cached", "deduplicated", "failed", "rejected", "abandoned")

IMAGES = Counter(
    "minigpt4_encoder_images",
    "Images requested from the encoder, by outcome: encoded, cached (found in the cache), "
    "deduplicated (joined an encoding in progress), failed, rejected (the queue was full), "
    "abandoned (all requests were cancelled).",
    ["outcome"],
)
for _outcome in OUTCOMES:
    IMAGES.labels(_outcome)  # every series must exist from the start, so that rates can be computed

BATCH_SIZE = Histogram(
    "minigpt4_encoder_batch_size", "Images in one batch.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
QUEUE_LENGTH = Gauge(
    "minigpt4_encoder_queue_length",
    "Images that are admitted but not yet in a batch: being decoded, or waiting.",
    multiprocess_mode="livesum",
)
QUEUE_SECONDS = Histogram(
    "minigpt4_encoder_queue_seconds",
    "Time that a decoded image waited for the start of its batch.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ENCODE_SECONDS = Histogram(
    "minigpt4_encoder_encode_seconds",
    "Time to encode one batch.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PREPARE_SECONDS = Histogram(
    "minigpt4_image_prepare_seconds",
    "Time to decode and resize one image.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
CACHE_BYTES = Gauge(
    "minigpt4_embedding_cache_bytes",
    "Size of the cached embeddings in bytes.",
    multiprocess_mode="livesum",
)
