"""The loss on samples that are not trained on."""

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

import torch
from torch import Tensor

from service.errors import DatasetError, ImageError
from service.training.batches import decode_images, stack_pixels
from service.training.image_lists import ImageListSource
from service.training.model import AlignmentModel
from service.training.precision import fast_arithmetic
from service.training.presets import Stage
from service.training.processes import Processes
from service.training.samples import RawSample
from service.training.tokenization import IGNORED, TokenizedSample, tokenize_sample


class Validation:
    """Samples of lists that are kept for measuring.

    The images are whole, and each caption keeps the same instruction, so that the losses of a run
    can be compared. Samples that cannot be used are left out.
    """

    def __init__(
        self, sources: Sequence[ImageListSource], stage: Stage, seed: int, processes: Processes
    ) -> None:
        self._sources, self._stage, self._seed = sources, stage, seed
        self._processes = processes

    @property
    def name(self) -> str:
        """The names of the lists, with their numbers of samples."""
        return ", ".join(f"{len(s.entries)} of {s.name}" for s in self._sources)

    @property
    def samples(self) -> int:
        """Number of samples."""
        return sum(len(source.entries) for source in self._sources)

    def measure(self, model: AlignmentModel) -> float:
        """Return the mean loss over the target tokens of all samples; every process must call it.

        Raises:
            DatasetError: no sample can be used.
        """
        total, tokens = 0.0, 0
        rows = self._read_part(model)
        with model.evaluating():
            while batch := list(islice(rows, self._stage.batch)):
                pixels = [image for images, _ in batch for image in images]
                stacked = torch.from_numpy(stack_pixels(pixels, model.encoder.config.image_size))
                samples = [sample for _, sample in batch]
                learnt = sum(label != IGNORED for s in samples for label in s.labels)
                with fast_arithmetic(model.device.type):
                    total += float(model.loss(stacked, samples)) * learnt
                tokens += learnt
        totals = self._processes.gather((total, tokens))
        everything = sum(tokens for _, tokens in totals)
        if not everything:
            raise DatasetError("No sample of the validation part can be used.")
        return sum(total for total, _ in totals) / everything

    def _read_part(self, model: AlignmentModel) -> Iterator[tuple[list[Tensor], TokenizedSample]]:
        """Yield this process's usable samples: decoded images and token ids."""
        every = (sample for source in self._sources for sample in source.read_all())
        part = islice(enumerate(every), self._processes.rank, None, self._processes.world)
        for number, sample in part:
            if not isinstance(sample, RawSample):
                continue
            rng = random.Random(f"{self._seed}/validation/{number}")  # noqa: S311 - reproducible
            family = model.folder.family
            with suppress(ImageError):
                images = decode_images(sample, model.encoder.config.image_size)
                yield (
                    images,
                    tokenize_sample(model.tokenizer, family, self._stage, sample.turns, rng),
                )
