"""Where amounts are reported: the ledger of this process, and the metrics."""

import threading

from prometheus_client import Counter

from service.usage.amounts import Usage
from service.usage.ledger import Ledger
from service.usage.mapped_ledger import create

TOKENS = Counter("minigpt4_key_tokens", "Tokens that each API key has used", ["key", "direction"])
IMAGES = Counter("minigpt4_key_images", "Images that each API key has sent", ["key"])
BYTES = Counter(
    "minigpt4_key_bytes", "Bytes of bodies, and of images fetched by URL", ["key", "direction"]
)
SECONDS = Counter(
    "minigpt4_key_seconds",
    "Seconds that the encoder and the engine have worked for each API key",
    ["key", "part"],
)

_lock = threading.Lock()
_ledger: Ledger | None = None


def set_ledger(ledger: Ledger) -> None:
    """Use ``ledger`` in this process; to be called before the first request."""
    global _ledger
    _ledger = ledger


def shared_ledger() -> Ledger:
    """The ledger of this process: the one that was set, or else one of its own."""
    global _ledger
    with _lock:
        if _ledger is None:
            _ledger = create()
        return _ledger


def record(key: str, used: Usage) -> None:
    """Add what a request of ``key`` has used; "" where no keys are configured."""
    ledger = shared_ledger()
    ledger.add(key, used)
    label = ledger.label(key)
    for counter, labels, amount in (
        (TOKENS, ("input",), used.input_tokens),
        (TOKENS, ("output",), used.output_tokens),
        (IMAGES, (), used.images),
        (BYTES, ("received",), used.bytes_received),
        (BYTES, ("sent",), used.bytes_sent),
        (SECONDS, ("encoder",), used.encoder_seconds),
        (SECONDS, ("engine",), used.engine_seconds),
    ):
        if amount:
            counter.labels(label, *labels).inc(amount)
