"""Sources to batches of decoded pixels, in worker processes; bad samples are passed on, not hidden."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from service.alignment.sources import BadSample, Part, RawSample, Source
from service.errors import DatasetError, ImageError
from service.images.decoding import decode_pixels

MAX_PIXELS = 100_000_000
"""Width times height of a training image, in pixels, at most; larger ones are skipped."""

_MOST_BAD = 10_000


@dataclass
class Batch:
    """One step's samples.

    Attributes:
        pixels: ``[samples, image_size, image_size, 3]`` uint8.
        texts: Captions or answers.
        skipped: What was passed over while the batch was filled.
    """

    pixels: Tensor
    texts: list[str]
    skipped: list[BadSample] = field(default_factory=list)


class Batches(IterableDataset[Batch]):
    """Endless batches of one process of a distributed run; each batch comes from one source.

    Args:
        sources, ratios: Data sets, and how often a batch comes from each.
        samples: Samples of a batch.
        image_size: Side of the encoder's input in pixels.
        part: This process's number and the number of processes.
        first_step: Steps already done: a resumed run goes on in the data as well.
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
    ) -> None:
        if not sources:
            raise DatasetError("No data set is given.")
        if len(ratios) != len(sources) or min(ratios) <= 0:
            raise DatasetError(f"{len(sources)} data sets need as many ratios, all above zero.")
        self.sources, self.ratios, self.samples = list(sources), list(ratios), samples
        self.image_size, self.seed, self.first_step = image_size, seed, first_step
        self.part = part or Part()

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        part = Part(self.part.number * workers + number, self.part.of * workers)
        # Batches are taken from the workers in turn: this one has made every workers-th of them.
        made = len(range(number, self.first_step, workers))
        order = _source_order(self.ratios, self.seed, part)
        done = [0] * len(self.sources)
        for _ in range(made):
            done[next(order)] += 1
        streams = [
            source.stream(part, self.seed, skip=batches * self.samples)
            for source, batches in zip(self.sources, done, strict=True)
        ]
        for chosen in order:
            yield self._fill(streams[chosen])

    def _fill(self, stream: Iterator[RawSample | BadSample]) -> Batch:
        pixels: list[Tensor] = []
        texts: list[str] = []
        skipped: list[BadSample] = []
        while len(pixels) < self.samples:
            sample = next(stream)
            if isinstance(sample, RawSample):
                try:
                    pixels.append(decode_pixels(sample.image, self.image_size, MAX_PIXELS))
                    texts.append(sample.text)
                    continue
                except ImageError as error:
                    sample = BadSample(sample.where, str(error))
            skipped.append(sample)
            if len(skipped) > _MOST_BAD:
                raise DatasetError(
                    f"{len(skipped)} samples in a row cannot be used; the last: "
                    f"{sample.where}: {sample.why}"
                )
        return Batch(torch.stack(pixels), texts, skipped)


def _source_order(ratios: Sequence[float], seed: int, part: Part) -> Iterator[int]:
    draw = torch.Generator().manual_seed(seed * 1_000_003 + part.number)
    weights = torch.tensor(ratios, dtype=torch.float64)
    for _ in count():
        yield int(torch.multinomial(weights, 1, generator=draw))
