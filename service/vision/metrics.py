"""The encoder's Prometheus series, beside vLLM's own on ``/metrics``."""

from prometheus_client import Counter, Gauge, Histogram

IMAGES = Counter(
    "minigpt4_encoder_images",
    "Images asked of the encoder, by outcome: encoded, cached (embeddings were kept), deduplicated "
    "(joined an encoding under way), failed, rejected (queue full), abandoned (nobody waits any more).",
    ["outcome"],
)
BATCH_SIZE = Histogram(
    "minigpt4_encoder_batch_size", "Images encoded together.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
QUEUE_LENGTH = Gauge(
    "minigpt4_encoder_queue_length",
    "Images admitted and not yet in a batch, being decoded or waiting.",
)
QUEUE_SECONDS = Histogram(
    "minigpt4_encoder_queue_seconds",
    "From an image's pixels being ready to the start of its batch.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ENCODE_SECONDS = Histogram(
    "minigpt4_encoder_encode_seconds",
    "Encoding of one batch.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PREPARE_SECONDS = Histogram(
    "minigpt4_image_prepare_seconds",
    "Decoding and resizing of one image.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
CACHE_BYTES = Gauge("minigpt4_embedding_cache_bytes", "Size of the kept embeddings.")

OUTCOMES = ("encoded", "cached", "deduplicated", "failed", "rejected", "abandoned")
for _outcome in OUTCOMES:
    IMAGES.labels(_outcome)  # every series exists from the start, so that rates can be computed
