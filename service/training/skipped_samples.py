"""Counting and reporting the samples that a run skips."""

from collections import Counter
from collections.abc import Iterable

from service.errors import DatasetError
from service.training.processes import Processes
from service.training.samples import BadSample

_NAMED = 5
"""Skipped samples that are named one by one; the others are only counted."""


class SkippedSamples:
    """The samples that this process has skipped, by kind.

    Attributes:
        counts: Of this process alone. The first process's include what the checkpoint holds.
    """

    def __init__(self, processes: Processes, *, strict: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._processes, self._strict = processes, strict

    def add(self, samples: Iterable[BadSample]) -> None:
        """Count samples and name the first few.

        Raises:
            DatasetError: the run is strict.
        """
        for sample in samples:
            if self._strict:
                raise DatasetError(str(sample))
            self.counts[sample.kind] += 1
            if self.counts.total() <= _NAMED:
                self._processes.say(f"Skipped {sample}")
            elif self.counts.total() == _NAMED + 1:
                self._processes.say(
                    "More samples are skipped; they are counted and reported at the end."
                )

    def add_listed(self, samples: Iterable[BadSample]) -> None:
        """Count samples that a data set's list shows to be bad; every process reads that list."""
        if self._processes.is_first or self._strict:
            self.add(samples)

    def gather(self) -> Counter[str]:
        """Return the counts of all processes together; every process must call it."""
        return sum(self._processes.gather(self.counts), Counter())

    def report(self, counts: Counter[str]) -> None:
        """Say how many samples were skipped and why."""
        if counts:
            reasons = ", ".join(f"{kind}: {number}" for kind, number in counts.most_common())
            self._processes.say(f"Skipped {counts.total()} bad samples ({reasons}).")
