"""The losses of a run: one line for every few steps, and the validation losses."""

from service.training.checkpoint import HistoryLine
from service.training.processes import Processes

LINES = 400
"""Lines of a whole run's history, about."""


class LossHistory:
    """The lines so far, and the losses of this process since the last line.

    Attributes:
        validations: Steps and validation losses.

    Args:
        steps: Steps of the whole run.
    """

    def __init__(self, steps: int) -> None:
        self.lines: list[HistoryLine] = []
        self.losses: list[float] = []
        self.validations: list[tuple[int, float]] = []
        self._steps, self._interval = steps, max(steps // LINES, 1)

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and loss of the lowest validation loss; None without validation."""
        return min(self.validations, key=lambda line: line[1], default=None)

    def add(self, done: int, loss: float, rate: float, speed: float, processes: Processes) -> None:
        """Add a step's loss; every process must call it, because they average their losses.

        Args:
            done: Steps done.
            rate: Learning rate of the step.
            speed: Samples per second of all processes.
        """
        self.losses.append(loss)
        if done % self._interval == 0 or done == self._steps:
            mean = processes.mean(sum(self.losses) / len(self.losses))
            self.lines.append(HistoryLine(done, mean, rate, speed))
            self.losses.clear()
