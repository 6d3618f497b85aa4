"""The state of a run: what it saves in its checkpoints and resumes from."""

from collections import Counter
from collections.abc import Sequence

import torch

from service.errors import AlignmentError
from service.model_folder.fingerprint import fingerprint
from service.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from service.training.loss_history import LossHistory
from service.training.model import AlignmentModel
from service.training.processes import Processes
from service.training.resharding import reshard_taken
from service.training.run_settings import RunSettings
from service.training.samples import Source
from service.training.skipped_samples import SkippedSamples


class RunState:
    """The weights, the optimiser, and how far the run and its data are.

    Attributes:
        history: Losses so far.
        skipped: Samples that were skipped.
        taken: For each worker of this process, how many samples it took from each source.

    Args:
        steps: Steps of the whole run.
        identity: What the run was started with; only a run with the same identity resumes from it.
    """

    def __init__(
        self,
        model: AlignmentModel,
        optimiser: torch.optim.Optimizer,
        steps: int,
        identity: dict[str, str],
        settings: RunSettings,
        processes: Processes,
    ) -> None:
        self.history = LossHistory(steps)
        self.skipped = SkippedSamples(processes, strict=settings.strict)
        self.taken: dict[int, list[int]] = {}
        self._model, self._optimiser, self._steps = model, optimiser, steps
        self._identity, self._settings, self._processes = identity, settings, processes
        tokens = str(model.encoder.config.visual_tokens)
        self._facts = {**fingerprint(model.folder), "visual_tokens": tokens}

    def resume(self, sources: Sequence[Source]) -> int:
        """Load the checkpoint if there is one.

        Returns:
            The first step to do.

        Raises:
            AlignmentError: the checkpoint is damaged, or of another run, or not the same for all
                processes.
        """
        progress = load_checkpoint(self._settings.out, self._identity)
        self._check_same_step(progress.step if progress else 0)
        if progress is None:
            for source in sources:
                self.skipped.add_listed(source.bad)
            return 0
        self._restore(progress)
        return progress.step

    def _restore(self, progress: Progress) -> None:
        self._model.restore(progress.trained)
        self._optimiser.load_state_dict(progress.optimiser)
        self.history.lines = progress.history
        self.history.losses = progress.losses[self._processes.rank]
        self.history.validations = [(step, loss) for step, loss in progress.validations]
        workers = max(self._settings.workers, 1)
        taken = reshard_taken(progress.taken, progress.workers, workers)
        self.taken = taken[self._processes.rank]
        if self._processes.is_first:
            self.skipped.counts = Counter(progress.skipped)
        self._processes.say(
            f"Resuming from step {progress.step} of {self._steps} ({self._settings.out})."
        )
        if workers != progress.workers:
            self._processes.say(
                f"{workers} workers instead of {progress.workers} now divide the data, which "
                "changes its order: near this step a few samples may come twice or a round later."
            )

    def _check_same_step(self, step: int) -> None:
        # Processes with different numbers of steps to do would wait for one another forever.
        steps = self._processes.gather(step)
        if len(set(steps)) > 1:
            found = ", ".join(f"process {rank}: step {step}" for rank, step in enumerate(steps))
            raise AlignmentError(
                f"The processes find different checkpoints in {self._settings.out} ({found}). "
                "--out must be one folder that the processes of all machines share."
            )

    def save(self, step: int, *, numbered: bool = False) -> None:
        """Write a checkpoint; every process must call it.

        Args:
            numbered: Also keep the trained tensors under the step's number.

        Raises:
            AlignmentError: it cannot be written; the earlier checkpoint is untouched.
        """
        skipped, taken = self.skipped.gather(), self._processes.gather(self.taken)
        losses = self._processes.gather(self.history.losses)
        if self._processes.is_first:
            progress = Progress(
                step,
                self._model.state(),
                self._optimiser.state_dict(),
                self._identity,
                self.history.lines,
                dict(skipped),
                taken,
                max(self._settings.workers, 1),
                losses,
                self.history.validations,
                self._facts,
            )
            save_checkpoint(self._settings.out, progress, numbered=numbered)
        # No process may get ahead of a checkpoint that cannot be written.
        self._processes.barrier()
