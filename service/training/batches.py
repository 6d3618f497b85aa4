"""Sources to batches of decoded pixels, in worker processes; bad samples are passed on, not hidden."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from service.errors import DatasetError, ImageError
from service.images.decoding import decode_pixels
from service.training.crops import Box, random_crop
from service.training.samples import BadSample, Part, RawSample, Source

MAX_PIXELS = 100_000_000
"""Width times height of a training image, in pixels, at most; larger ones are skipped."""

_MOST_BAD = 10_000


@dataclass
class Batch:
    """One step's samples.

    Attributes:
        pixels: ``[samples, image_size, image_size, 3]`` uint8. An array and no tensor: from a worker
            process that would come through ``/dev/shm``, which is 64 MB in a container, and a batch that
            does not fit is lost without a word.
        texts: Captions or answers.
        skipped: What was passed over while the batch was filled.
        worker: Number of the worker that made it.
        taken: What that worker has taken from each source by now, good or bad, since the run's first step.
    """

    pixels: NDArray[np.uint8]
    texts: list[str]
    skipped: list[BadSample]
    worker: int
    taken: list[int]


class Batches(IterableDataset[Batch | DatasetError]):
    """Endless batches of one process of a distributed run; each batch comes from one source.

    An error is the last thing that comes: raised in a worker process it would arrive as a traceback.

    Args:
        sources, ratios: Data sets, and how often a batch comes from each.
        samples: Samples of a batch.
        image_size: Side of the encoder's input in pixels.
        part: This process's number and the number of processes.
        first_step: Steps already done: a resumed run goes on in the data as well.
        taken: By worker, :attr:`Batch.taken` of its last batch; empty in a new run.
        crop_scale: :attr:`~service.training.presets.Stage.crop_scale`.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        ratios: Sequence[float],
        samples: int,
        image_size: int,
        seed: int = 0,
        part: Part | None = None,
        first_step: int = 0,
        taken: dict[int, list[int]] | None = None,
        crop_scale: float = 1.0,
    ) -> None:
        if not sources:
            raise DatasetError("No data set is given.")
        if len(ratios) != len(sources) or min(ratios) <= 0:
            raise DatasetError(f"{len(sources)} data sets need as many ratios, all above zero.")
        self.sources, self.ratios, self.samples = list(sources), list(ratios), samples
        self.image_size, self.seed, self.first_step = image_size, seed, first_step
        self.part, self.taken, self.crop_scale = part or Part(), taken or {}, crop_scale

    def __iter__(self) -> Iterator[Batch | DatasetError]:
        worker = get_worker_info()
        identity, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        # Batches are taken from the workers in turn, beginning with identity 0. Numbered by the step that
        # is to come, each worker goes on with what the one of its number did before.
        number = (self.first_step + identity) % workers
        try:
            yield from self._made_by(number, workers)
        except DatasetError as error:
            yield error

    def _made_by(self, number: int, workers: int) -> Iterator[Batch]:
        part = Part(self.part.number * workers + number, self.part.of * workers)
        order = _source_order(self.ratios, self.seed, part)
        for _ in range(number, self.first_step, workers):
            next(order)
        taken = list(self.taken.get(number, [0] * len(self.sources)))
        streams = [
            source.stream(part, self.seed, skip)
            for source, skip in zip(self.sources, taken, strict=True)
        ]
        for chosen in order:
            # Drawn from what is taken, so that a resumed run crops as the one before would have.
            draw = f"{self.seed}/{part.number}/{chosen}/{taken[chosen]}"
            pixels, texts, skipped = self._fill(streams[chosen], self._crop(draw))
            taken[chosen] += len(texts) + len(skipped)
            yield Batch(pixels, texts, skipped, number, list(taken))

    def _crop(self, draw: str) -> Callable[[int, int], Box] | None:
        if self.crop_scale == 1:
            return None
        rng = random.Random(draw)  # noqa: S311 - reproducible
        return lambda width, height: random_crop(width, height, self.crop_scale, rng)

    def _fill(
        self,
        stream: Iterator[RawSample | BadSample],
        crop: Callable[[int, int], Box] | None,
    ) -> tuple[NDArray[np.uint8], list[str], list[BadSample]]:
        pixels: list[Tensor] = []
        texts: list[str] = []
        skipped: list[BadSample] = []
        while len(pixels) < self.samples:
            sample = next(stream)
            if isinstance(sample, RawSample):
                try:
                    pixels.append(decode_pixels(sample.image, self.image_size, MAX_PIXELS, crop))
                    texts.append(sample.text)
                    continue
                except ImageError as error:
                    sample = BadSample(sample.where, "an unusable image", str(error))
            skipped.append(sample)
            if len(skipped) > _MOST_BAD:
                raise DatasetError(
                    f"{len(skipped)} samples of a batch cannot be used; the last: {sample}"
                )
        return torch.stack(pixels).numpy(), texts, skipped


def _source_order(ratios: Sequence[float], seed: int, part: Part) -> Iterator[int]:
    draw = torch.Generator().manual_seed(seed * 1_000_003 + part.number)
    weights = torch.tensor(ratios, dtype=torch.float64)
    for _ in count():
        yield int(torch.multinomial(weights, 1, generator=draw))
