"""What connects the processes of a supervised service."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.shared_count import Count


@dataclass(frozen=True)
class Links:
    """What connects an API process with the others.

    Attributes:
        index: Number of this API process.
        encoder_address: Where the encoder's process listens.
        engine_addresses: From :func:`service.engine.launch.list_client_addresses`.
        reservations: Counts reserved slots in the engine's queue.
        lines: Counts sequences of batches' lines in the engine.
        held_bytes: Counts bytes of request bodies.
        ledger: File with what API keys have used.
    """

    index: int
    processes: int
    encoder_address: str
    engine_addresses: dict[str, Any]
    reservations: Count
    lines: Count
    held_bytes: Count
    ledger: Path
