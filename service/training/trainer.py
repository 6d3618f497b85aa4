"""A training run from its first or its next step to a finished model folder."""

import math
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.data import DataLoader

from service.errors import AlignmentError, DatasetError
from service.measurement.charts import MISSING, Curve, can_draw, draw_curves
from service.training.batches import Batch, Batches
from service.training.checkpoint import (
    Measured,
    Progress,
    load_checkpoint,
    replace_file,
    save_checkpoint,
)
from service.training.failures import diverged, full_memory_named, worker_deaths_named
from service.training.formats import INSTRUCTIONS, TokenizedSample, tokenize_sample
from service.training.identity import described_data, described_folder, described_stage
from service.training.model import AlignmentModel, Variant
from service.training.precision import fast_arithmetic
from service.training.presets import Stage
from service.training.processes import Processes
from service.training.progress_bar import ProgressBar
from service.training.resharding import shared_out
from service.training.samples import BadSample, Part, Source

LOSS_PLOT = "loss.png"
FINISHED = "model"
"""Sub-folder of a run that holds the complete model folder."""

_NAMED_SKIPS = 5
_HISTORY_LINES = 400


@dataclass(frozen=True)
class RunSettings:
    """What a run does besides its stage.

    Attributes:
        out: Folder of checkpoints, curves and the finished model folder.
        seed: Of the data's order and the instructions.
        workers: Processes that read and decode images; 0 does it in the training process.
        checkpoint_steps: Steps between checkpoints, at least 1; each epoch's end has one as well.
        strict: Fail at the first bad sample.
        copy_language_model: Copy the language model into the finished folder.
        notes: Lines for the finished folder's provenance.
    """

    out: Path
    seed: int = 0
    workers: int = 2
    checkpoint_steps: int = 500
    strict: bool = False
    copy_language_model: bool = False
    notes: tuple[str, ...] = ()


class Trainer:
    """One run of one stage."""

    def __init__(
        self,
        model: AlignmentModel,
        stage: Stage,
        sources: Sequence[Source],
        ratios: Sequence[float],
        settings: RunSettings,
        processes: Processes,
        variant: Variant = "published",
    ) -> None:
        self.model, self.stage, self.settings, self.processes = model, stage, settings, processes
        self.sources, self.ratios = sources, ratios
        self.described = {
            **described_stage(stage),
            **described_folder(model.folder),
            **described_data(sources, ratios),
            "start": model.start,
            "variant": variant,
            "seed": str(settings.seed),
            "processes": str(processes.world),
        }
        self.optimiser = torch.optim.AdamW(
            _groups(model.trained.values(), stage.weight_decay),
            lr=stage.learning_rate,
            betas=(0.9, 0.999),
        )
        self.history: list[Measured] = []
        # Of this process alone; the first one's include what the checkpoint holds.
        self.skipped: Counter[str] = Counter()
        self.taken: dict[int, list[int]] = {}
        self.losses: list[float] = []

    def run(self) -> Path:
        """Train to the last step and write the model folder; returns that folder.

        Raises:
            AlignmentError: nothing can be saved, the loss is no number, or the data set is unusable.
        """
        first = self._resume()
        self.processes.share(self.model.trained.values())
        if first < self.stage.steps:
            with worker_deaths_named(), full_memory_named(self.processes.device, self.stage.batch):
                self._train(first)
        finished = self.settings.out / FINISHED
        skipped = self._skipped_by_all()
        if self.processes.is_first:
            self._finish(finished, skipped)
        self.processes.barrier()
        return finished

    def _resume(self) -> int:
        progress = load_checkpoint(self.settings.out, self.described)
        self._check_all_go_on_from(progress.step if progress else 0)
        if progress is None:
            self._note_listed()
            return 0
        self.model.restore(progress.trained)
        self.optimiser.load_state_dict(progress.optimiser)
        self.history = progress.history
        self.losses = progress.losses[self.processes.rank]
        workers = max(self.settings.workers, 1)
        self.taken = shared_out(progress.taken, progress.workers, workers)[self.processes.rank]
        if self.processes.is_first:
            self.skipped = Counter(progress.skipped)
        self._say(
            f"Going on from step {progress.step} of {self.stage.steps} ({self.settings.out})."
        )
        if workers != progress.workers:
            self._say(
                f"{workers} workers instead of {progress.workers} share the data out anew: its order is "
                "another one, and near this step a few samples may come twice or a round later."
            )
        return progress.step

    def _check_all_go_on_from(self, step: int) -> None:
        # They would wait for one another for ever: who begins earlier has more steps to go.
        steps = self.processes.gather(step)
        if len(set(steps)) > 1:
            found = ", ".join(f"process {rank}: step {step}" for rank, step in enumerate(steps))
            raise AlignmentError(
                f"The processes find different checkpoints in {self.settings.out} ({found}). --out must be "
                "one folder that all of them see, on every machine."
            )

    def _train(self, first: int) -> None:
        stage, rank = self.stage, self.processes.rank
        bar = ProgressBar(stage.steps, first, shown=self.processes.is_first)
        every = max(stage.steps // _HISTORY_LINES, 1)
        started = time.monotonic()
        for step, batch in enumerate(self._batches(first), start=first):
            self._note(batch.skipped)
            self.taken[batch.worker] = batch.taken
            rate = stage.rate(step)
            loss = self._step(batch, rate, step * self.processes.world + rank)
            self.losses.append(loss)
            done = step + 1
            seconds = max(time.monotonic() - started, 1e-9)
            per_second = stage.batch * self.processes.world * (done - first) / seconds
            if done % every == 0 or done == stage.steps:
                mean = self.processes.mean(sum(self.losses) / len(self.losses))
                self.history.append(Measured(done, mean, rate, per_second))
                self.losses.clear()
            bar.show(done, loss, rate, per_second, force=done == stage.steps)
            if self._checkpoint_is_due(done):
                self._save(done)
            if done == stage.steps:
                break

    def _step(self, batch: Batch, rate: float, draw: int) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self._loss(torch.from_numpy(batch.pixels), self._tokenized(batch, draw))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.average_gradients(self.model.trained.values())
        value = float(loss.detach())
        # A loss can be a number where its gradients overflow: after the step every weight would be none.
        gradients = [p.grad for p in self.model.trained.values() if p.grad is not None]
        norm = float(nn.utils.get_total_norm(gradients))
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise diverged(self.settings.out, rate, self.stage.learning_rate)
        self.optimiser.step()
        return value

    def _loss(self, pixels: Tensor, samples: list[TokenizedSample]) -> Tensor:
        with fast_arithmetic(self.processes.device.type):
            return self.model.loss(pixels, samples)

    def _tokenized(self, batch: Batch, draw: int) -> list[TokenizedSample]:
        rng = random.Random(f"{self.settings.seed}/{draw}")  # noqa: S311 - reproducible
        # One instruction for a whole batch, as in the original.
        instruction = rng.choice(INSTRUCTIONS)
        model = self.model
        return [
            tokenize_sample(model.tokenizer, model.folder.family, self.stage, text, instruction)
            for text in batch.texts
        ]

    def _batches(self, first: int) -> Iterator[Batch]:
        batches = Batches(
            self.sources,
            self.ratios,
            self.stage.batch,
            self.model.encoder.config.image_size,
            self.settings.seed,
            Part(self.processes.rank, self.processes.world),
            first,
            self.taken,
            self.stage.crop_scale,
        )
        for made in DataLoader(batches, batch_size=None, num_workers=self.settings.workers):
            if isinstance(made, DatasetError):
                raise made
            yield made

    def _note(self, skipped: Sequence[BadSample]) -> None:
        for sample in skipped:
            if self.settings.strict:
                raise DatasetError(str(sample))
            self.skipped[sample.kind] += 1
            if self.skipped.total() <= _NAMED_SKIPS:
                self._say(f"Skipped {sample}")
            elif self.skipped.total() == _NAMED_SKIPS + 1:
                self._say("More samples are skipped; they are counted and reported at the end.")

    def _note_listed(self) -> None:
        """Count what the data sets' lists show to be bad: once a run, not where a batch happens to end."""
        if self.processes.is_first or self.settings.strict:
            for source in self.sources:
                self._note(source.bad)

    def _skipped_by_all(self) -> Counter[str]:
        return sum(self.processes.gather(self.skipped), Counter())

    def _checkpoint_is_due(self, done: int) -> bool:
        return done % self.settings.checkpoint_steps == 0 or done % self.stage.steps_per_epoch == 0

    def _save(self, step: int) -> None:
        # The others wait: none may be ahead of a checkpoint that could not be written.
        skipped, taken = self._skipped_by_all(), self.processes.gather(self.taken)
        losses = self.processes.gather(self.losses)
        if self.processes.is_first:
            progress = Progress(
                step,
                self.model.state(),
                self.optimiser.state_dict(),
                self.described,
                self.history,
                dict(skipped),
                taken,
                max(self.settings.workers, 1),
                losses,
            )
            save_checkpoint(self.settings.out, progress)
            self._plot()
        self.processes.barrier()

    def _plot(self) -> None:
        if not can_draw():
            self._say(MISSING)
            return
        points = [(float(line.step), line.loss) for line in self.history]
        curve = Curve(f"{self.stage.name} loss", points)
        try:
            picture = draw_curves("Alignment loss on target tokens", "step", [curve])
            replace_file(self.settings.out / LOSS_PLOT, picture)
        except OSError as error:
            self._say(f"{LOSS_PLOT} cannot be written: {error.strerror}")

    def _finish(self, finished: Path, skipped: Counter[str]) -> None:
        last = self.history[-1] if self.history else None
        notes = [
            f"{self.stage.name}: {self.stage.steps} steps of {self.stage.batch} x "
            f"{self.processes.world} samples" + (f", last loss {last.loss:.4f}." if last else "."),
            *self.settings.notes,
        ]
        try:
            self.model.save_folder(finished, notes, copy=self.settings.copy_language_model)
        except (OSError, SafetensorError) as error:
            raise AlignmentError(
                f"{finished} cannot be written: {error}. The checkpoint in {self.settings.out} is intact: "
                "run again to write the folder."
            ) from error
        if skipped:
            reasons = ", ".join(f"{kind}: {number}" for kind, number in skipped.most_common())
            self._say(f"Skipped {skipped.total()} bad samples ({reasons}).")
        if last:
            self._say(f"Done: loss {last.loss:.4f}, {last.samples_per_second:.1f} samples/s.")

    def _say(self, text: str) -> None:
        if self.processes.is_first:
            print(text, file=sys.stderr, flush=True)


def _groups(parameters: Iterable[nn.Parameter], decay: float) -> list[dict[str, object]]:
    known = list(parameters)
    return [
        {"params": [p for p in known if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in known if p.ndim < 2], "weight_decay": 0.0},
    ]
