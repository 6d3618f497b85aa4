"""Sources to batches of decoded pixels, in worker processes. Bad samples are reported."""

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
from service.training.samples import BadSample, Part, RawSample, Source, Turn

MAX_PIXELS = 100_000_000
"""Width times height of a training image, at most; larger images are skipped."""

_MAX_BAD = 10_000
"""Most bad samples of one batch; more end the run."""


@dataclass
class Batch:
    """The samples of one batch; a step takes several with gradient accumulation.

    Attributes:
        pixels: ``[images, image_size, image_size, 3]`` uint8, in the order of the conversations. An
            array instead of a tensor: a worker process sends tensors through ``/dev/shm``, which
            has 64 MB in a container, and a batch that does not fit is lost silently.
        conversations: The turns of each sample.
        skipped: Bad samples that came while the batch was filled.
        worker: Number of the worker that made the batch.
        taken: For each source, how many samples that worker has taken since the run's first step,
            good or bad.
    """

    pixels: NDArray[np.uint8]
    conversations: list[tuple[Turn, ...]]
    skipped: list[BadSample]
    worker: int
    taken: list[int]

    @property
    def texts(self) -> list[str]:
        """The caption or first answer of each sample."""
        return [turns[0].answer for turns in self.conversations]


class Batches(IterableDataset[Batch | DatasetError]):
    """Endless batches for one process of a distributed run. Each batch comes from one source.

    An error is yielded as the last item, because an error that a worker process raises arrives as a
    traceback.

    Args:
        sources: The data sets.
        ratios: How often a batch comes from each source.
        samples: Samples of a batch.
        image_size: Side of the encoder's input in pixels.
        seed: Of the data's order and the crops.
        part: This process's part of the data.
        first_batch: Batches already read. A resumed run continues in the data as well.
        taken: For each worker, :attr:`Batch.taken` of its last batch; empty in a new run.
        crop_scale: :attr:`~service.training.presets.Stage.crop_scale`.

    Raises:
        DatasetError: there is no source, or not one ratio above zero for each.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        ratios: Sequence[float],
        samples: int,
        image_size: int,
        seed: int = 0,
        part: Part | None = None,
        first_batch: int = 0,
        taken: dict[int, list[int]] | None = None,
        crop_scale: float = 1.0,
    ) -> None:
        if not sources:
            raise DatasetError("No data set is given.")
        if len(ratios) != len(sources) or min(ratios) <= 0:
            raise DatasetError(f"{len(sources)} data sets need as many ratios, all above zero.")
        self.sources, self.ratios, self.samples = list(sources), list(ratios), samples
        self.image_size, self.seed, self.first_batch = image_size, seed, first_batch
        self.part, self.taken, self.crop_scale = part or Part(), taken or {}, crop_scale

    def __iter__(self) -> Iterator[Batch | DatasetError]:
        info = get_worker_info()
        identity, workers = (info.id, info.num_workers) if info else (0, 1)
        # PyTorch takes batches from the workers in turn, starting with worker 0. Our own number is
        # the step that a worker makes next, so that it continues what the worker of that number did
        # before.
        number = (self.first_batch + identity) % workers
        try:
            yield from self._make_batches(number, workers)
        except DatasetError as error:
            yield error

    def _make_batches(self, worker: int, workers: int) -> Iterator[Batch]:
        part = Part(self.part.index * workers + worker, self.part.count * workers)
        order = _draw_sources(self.ratios, self.seed, part)
        for _ in range(worker, self.first_batch, workers):
            next(order)
        taken = list(self.taken.get(worker, [0] * len(self.sources)))
        streams = [
            source.stream(part, self.seed, skip)
            for source, skip in zip(self.sources, taken, strict=True)
        ]
        for chosen in order:
            # The crops' seed follows from what was taken, so that a resumed run makes the same
            # crops.
            crop = self._make_crop(f"{self.seed}/{part.index}/{chosen}/{taken[chosen]}")
            pixels, conversations, skipped = self._fill(streams[chosen], crop)
            taken[chosen] += len(conversations) + len(skipped)
            yield Batch(pixels, conversations, skipped, worker, list(taken))

    def _make_crop(self, seed: str) -> Callable[[int, int], Box] | None:
        if self.crop_scale == 1:
            return None
        rng = random.Random(seed)  # noqa: S311 - reproducible
        return lambda width, height: random_crop(width, height, self.crop_scale, rng)

    def _fill(
        self,
        stream: Iterator[RawSample | BadSample],
        crop: Callable[[int, int], Box] | None,
    ) -> tuple[NDArray[np.uint8], list[tuple[Turn, ...]], list[BadSample]]:
        pixels: list[Tensor] = []
        conversations: list[tuple[Turn, ...]] = []
        skipped: list[BadSample] = []
        while len(conversations) < self.samples:
            sample = next(stream)
            if isinstance(sample, RawSample):
                try:
                    pixels += decode_images(sample, self.image_size, crop)
                    conversations.append(sample.turns)
                    continue
                except ImageError as error:
                    sample = BadSample(sample.where, "an unusable image", str(error))
            skipped.append(sample)
            if len(skipped) > _MAX_BAD:
                raise DatasetError(
                    f"{len(skipped)} samples of a batch cannot be used; the last: {sample}"
                )
        return stack_pixels(pixels, self.image_size), conversations, skipped


def decode_images(
    sample: RawSample, image_size: int, crop: Callable[[int, int], Box] | None = None
) -> list[Tensor]:
    """Decode the images of a sample; raises :class:`~service.errors.ImageError`."""
    return [decode_pixels(image, image_size, MAX_PIXELS, crop) for image in sample.images]


def stack_pixels(pixels: Sequence[Tensor], image_size: int) -> NDArray[np.uint8]:
    """Stack images, of which there may be none."""
    if not pixels:
        return np.zeros((0, image_size, image_size, 3), np.uint8)
    return torch.stack(list(pixels)).numpy()


def _draw_sources(ratios: Sequence[float], seed: int, part: Part) -> Iterator[int]:
    """Yield the number of each batch's source, endlessly."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + part.index)
    weights = torch.tensor(ratios, dtype=torch.float64)
    for _ in count():
        yield int(torch.multinomial(weights, 1, generator=generator))
