"""The progress of a run: one line that is rewritten on a terminal, or a log line now and then."""

import sys
import time
from contextlib import suppress

_BAR = 24
_TERMINAL_SECONDS = 0.2
_LOG_SECONDS = 15.0


class ProgressBar:
    """Shows step, loss, learning rate, samples per second and the time left.

    Args:
        steps: Steps of the whole run.
        first: Steps done before this process started.
        shown: Whether anything is printed.
    """

    def __init__(self, steps: int, first: int, *, shown: bool = True) -> None:
        self.steps, self.first, self.shown = steps, first, shown
        self.terminal = sys.stderr.isatty()
        self.started = self.last = time.monotonic()

    def show(
        self, step: int, loss: float, rate: float, per_second: float, *, force: bool = False
    ) -> None:
        """Show that ``step`` steps are done, unless the last update was shown a moment ago."""
        now = time.monotonic()
        pause = _TERMINAL_SECONDS if self.terminal else _LOG_SECONDS
        if not self.shown or (now - self.last < pause and not force):
            return
        self.last = now
        left = (self.steps - step) * (now - self.started) / max(step - self.first, 1)
        filled = _BAR * step // self.steps
        line = (
            f"[{'#' * filled}{'.' * (_BAR - filled)}] {step}/{self.steps}  loss {loss:.4f}  "
            f"lr {rate:.2e}  {per_second:.1f} samples/s  {format_time(left)} left"
        )
        with suppress(OSError):
            print(
                f"\r{line}\x1b[K" if self.terminal else line, end=self._end(step), file=sys.stderr
            )
            sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line from a terminal, so that a message can take its place."""
        if self.shown and self.terminal:
            with suppress(OSError):
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _end(self, step: int) -> str:
        return "" if self.terminal and step < self.steps else "\n"


def format_time(seconds: float) -> str:
    """Return ``1:02:03`` for 3,723 seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
