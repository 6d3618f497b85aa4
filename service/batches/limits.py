"""The limits of batches."""

from dataclasses import dataclass

from service.settings import MEBIBYTE, Settings


@dataclass(frozen=True)
class BatchLimits:
    """The limits.

    Attributes:
        lines: Maximum number of lines of one batch.
        open_batches: Maximum number of unfinished batches of one owner.
        output_bytes: Size of a batch's results after which its other lines fail.
        running: Maximum number of lines that run at once, over all batches.
        running_while_busy: The same while interactive requests are served.
        record_seconds: Seconds for which the record of a finished batch is kept.
    """

    lines: int = 50_000
    open_batches: int = 16
    output_bytes: int = 256 * MEBIBYTE
    running: int = 4
    running_while_busy: int = 1
    record_seconds: int = 30 * 24 * 3600

    @classmethod
    def from_settings(cls, settings: Settings) -> "BatchLimits":
        """Read the limits from the settings."""
        return cls(
            lines=settings.batch_max_lines,
            open_batches=settings.batch_max_open,
            output_bytes=settings.batch_output_mb * MEBIBYTE,
            running=settings.batch_concurrency,
            running_while_busy=min(settings.batch_concurrency_busy, settings.batch_concurrency),
            record_seconds=max(1, round(settings.files_max_hours * 3600)),
        )
