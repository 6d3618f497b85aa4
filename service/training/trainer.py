"""A training run: from its first step, or from its last checkpoint, to a finished model folder."""

import math
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from service.charts import MISSING, can_draw, draw_curve
from service.errors import AlignmentError, DatasetError
from service.training.batches import Batch, Batches
from service.training.checkpoint import BEST
from service.training.feature_cache import FeatureCache
from service.training.identity import identify_data, identify_folder, identify_stage
from service.training.loop import group_by_decay, run_steps
from service.training.model import AlignmentModel
from service.training.presets import Stage
from service.training.processes import Processes
from service.training.progress_bar import ProgressBar
from service.training.run_failures import (
    divergence_error,
    translate_out_of_memory,
    translate_worker_death,
)
from service.training.run_settings import RunSettings
from service.training.run_state import RunState
from service.training.samples import Part, Source
from service.training.state_file import replace_file
from service.training.tokenization import TokenizedSample, tokenize_sample
from service.training.trained_parts import Variant
from service.training.validation import Validation

LOSS_PLOT = "loss.png"
FINISHED = "model"
"""Sub-folder of a run that holds the complete model folder."""


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
        validation: Validation | None = None,
    ) -> None:
        self.model, self.stage, self.settings, self.processes = model, stage, settings, processes
        self.sources, self.ratios, self.validation = sources, ratios, validation
        self.cut = 0
        self.identity = {
            **identify_stage(stage),
            **identify_folder(model.folder),
            **identify_data(sources, ratios),
            **model.frozen.identify(),
            "validation": validation.name if validation else "none",
            "start": model.start,
            "variant": variant,
            "seed": str(settings.seed),
            "processes": str(processes.world),
        }
        self.optimiser = torch.optim.AdamW(
            group_by_decay(model.trained.values(), stage.weight_decay),
            lr=stage.learning_rate,
            betas=(0.9, 0.999),
        )
        self.state = RunState(
            model, self.optimiser, stage.steps, self.identity, settings, processes
        )

    def run(self) -> Path:
        """Train to the last step and write the model folder.

        Returns:
            The model folder.

        Raises:
            AlignmentError: nothing can be saved, the loss is not finite, or the data set is
                unusable.
        """
        first = self.state.resume(self.sources)
        self.processes.broadcast(self.model.trained.values())
        if first < self.stage.steps:
            with (
                translate_worker_death(),
                translate_out_of_memory(self.processes.device, self.stage.batch),
            ):
                self._train(first)
        finished = self.settings.out / FINISHED
        skipped = self.state.skipped.gather()
        if self.processes.is_first:
            self._write_model(finished)
            self.state.skipped.report(skipped)
            if not can_draw():
                self.processes.say(MISSING)
            self._report_end()
        self.processes.barrier()
        return finished

    def _report_end(self) -> None:
        if self.cut:
            self.processes.say(
                f"{self.cut} samples were longer than {self.stage.target_tokens} tokens after the "
                "first question, and the rest was cut; --target-tokens keeps more."
            )
        if isinstance(self.model.features, FeatureCache):
            self.processes.say(self.model.features.describe())
        if self.state.history.lines:
            last = self.state.history.lines[-1]
            self.processes.say(
                f"Done: loss {last.loss:.4f}, {last.samples_per_second:.1f} samples/s."
            )
        if best := self.state.history.best:
            self.processes.say(
                f"Lowest validation loss: {best[1]:.4f} at step {best[0]}; the model folder holds "
                "that step's weights."
            )

    def _train(self, first: int) -> None:
        self._first, self._started = first, time.monotonic()
        self._bar = ProgressBar(self.stage.steps, first, shown=self.processes.is_first)
        device = self.processes.device.type
        accumulate = self.stage.accumulate
        batches = self._read_batches(first * accumulate)
        run_steps(self, batches, self.stage, self.optimiser, first, device, accumulate)

    def _read_batches(self, first: int) -> Iterator[Batch]:
        batches = Batches(
            self.sources,
            self.ratios,
            self.stage.batch,
            self.model.encoder.config.image_size,
            self.settings.seed,
            Part(self.processes.rank, self.processes.world),
            first,
            self.state.taken,
            self.stage.crop_scale,
        )
        for item in DataLoader(batches, batch_size=None, num_workers=self.settings.workers):
            if isinstance(item, DatasetError):
                raise item
            yield item

    def compute_loss(self, batch: Batch, number: int) -> Tensor:
        """Return the loss of a batch; see :class:`~service.training.loop.Task`."""
        self.state.skipped.add(batch.skipped)
        self.state.taken[batch.worker] = batch.taken
        samples = self._tokenize(batch, number * self.processes.world + self.processes.rank)
        self.cut += sum(sample.is_cut for sample in samples)
        return self.model.loss(torch.from_numpy(batch.pixels), samples)

    def _tokenize(self, batch: Batch, number: int) -> list[TokenizedSample]:
        """Tokenize a batch; ``number`` counts the batches of all processes."""
        rng = random.Random(f"{self.settings.seed}/{number}")  # noqa: S311 - reproducible
        model = self.model
        return [
            tokenize_sample(model.tokenizer, model.folder.family, self.stage, turns, rng)
            for turns in batch.conversations
        ]

    def prepare_gradients(self, loss: float, rate: float) -> None:
        """Average the gradients over all processes and check that they are finite."""
        self.processes.average_gradients(self.model.trained.values())
        gradients = [p.grad for p in self.model.trained.values() if p.grad is not None]
        # The loss can be finite while its gradients overflow; the step would turn every weight into
        # NaN.
        norm = float(nn.utils.get_total_norm(gradients))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise divergence_error(self.settings.out, rate, self.stage.learning_rate)

    def finish_step(self, done: int, loss: float, rate: float) -> None:
        """Report the step, and save a checkpoint if one is due."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        samples = self.stage.samples_per_step * self.processes.world
        speed = samples * (done - self._first) / seconds
        self.state.history.add(done, loss, rate, speed, self.processes)
        self._bar.show(done, loss, rate, speed, force=done == self.stage.steps)
        numbered = done % (self.settings.keep_every or self.stage.steps_per_epoch) == 0
        if numbered or self._is_checkpoint_due(done):
            self._validate(done)
            self.state.save(done, numbered=numbered)
            if self.processes.is_first and can_draw():
                self._plot()

    def _is_checkpoint_due(self, done: int) -> bool:
        return done % self.settings.checkpoint_steps == 0 or done % self.stage.steps_per_epoch == 0

    def _validate(self, done: int) -> None:
        if self.validation is not None:
            loss = self.validation.measure(self.model)
            self.state.history.validations.append((done, loss))
            self._bar.clear()
            self.processes.say(f"Step {done}: validation loss {loss:.4f}.")

    def _plot(self) -> None:
        history = self.state.history
        points = [(line.step, line.loss) for line in history.lines]
        others = {"validation": history.validations} if history.validations else {}
        try:
            chart = draw_curve(
                f"Loss of {self.stage.name} on target tokens", "step", "loss", points, others
            )
            replace_file(self.settings.out / LOSS_PLOT, chart)
        except OSError as error:
            self.processes.say(f"{LOSS_PLOT} cannot be written: {error.strerror}")

    def _write_model(self, finished: Path) -> None:
        stage, lines = self.stage, self.state.history.lines
        notes = [
            f"{stage.name}: {stage.steps} steps of {stage.samples_per_step} x "
            f"{self.processes.world} samples"
            + (f", last loss {lines[-1].loss:.4f}." if lines else "."),
            *self.settings.notes,
        ]
        if best := self.state.history.best:
            notes.insert(1, f"The weights of step {best[0]}: lowest validation loss {best[1]:.4f}.")
            self.model.restore(load_file(self.settings.out / BEST))
        try:
            self.model.save_folder(finished, notes, copy=self.settings.copy_language_model)
        except (OSError, SafetensorError) as error:
            raise AlignmentError(
                f"{finished} cannot be written: {error}. The checkpoint in {self.settings.out} is "
                "intact: run again to write the folder."
            ) from error
