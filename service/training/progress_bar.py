"""The progress of a run on standard error: one line that is rewritten on a terminal, else now and then."""

import sys
import time
from contextlib import suppress

_BAR = 24
_TERMINAL_SECONDS = 0.2
_LOG_SECONDS = 15.0


class ProgressBar:
    """Shows step, loss, learning rate, samples a second and the time left.

    Args:
        steps: Steps of the whole run.
        first: Steps done before this process started.
    """

    def __init__(self, steps: int, first: int, *, shown: bool = True) -> None:
        self.steps, self.first, self.shown = steps, first, shown
        self.terminal = sys.stderr.isatty()
        self.started = self.last = time.monotonic()

    def show(
        self, step: int, loss: float, rate: float, per_second: float, *, force: bool = False
    ) -> None:
        """Report that ``step`` steps are done."""
        now = time.monotonic()
        pause = _TERMINAL_SECONDS if self.terminal else _LOG_SECONDS
        if not self.shown or (now - self.last < pause and not force):
            return
        self.last = now
        left = (self.steps - step) * (now - self.started) / max(step - self.first, 1)
        filled = _BAR * step // self.steps
        line = (
            f"[{'#' * filled}{'.' * (_BAR - filled)}] {step}/{self.steps}  loss {loss:.4f}  "
            f"lr {rate:.2e}  {per_second:.1f} samples/s  {clock(left)} left"
        )
        with suppress(OSError):
            print(
                f"\r{line}\x1b[K" if self.terminal else line, end=self._end(step), file=sys.stderr
            )
            sys.stderr.flush()

    def _end(self, step: int) -> str:
        return "" if self.terminal and step < self.steps else "\n"


def clock(seconds: float) -> str:
    """``1:02:03``."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
