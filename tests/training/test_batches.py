"""Batches: how often each source is drawn, and that a resumed run continues at the next sample."""

import resource
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from torch.utils.data import DataLoader

from service.errors import DatasetError
from service.training.batches import Batch, Batches
from service.training.presets import LAION_TO_CC_SBU
from service.training.samples import Part, RawSample, Source
from service.training.sources import open_data_set
from tests.training.conftest import picture, take


class OnePicture:
    """A data set of one picture whose caption is its name."""

    def __init__(self, name: str) -> None:
        self.name, self.image, self.bad = name, picture("red"), ()

    def stream(self, part: Part, seed: int, skip: int = 0) -> Iterator[RawSample]:
        while True:
            yield RawSample.from_caption(self.image, self.name, self.name)


def test_batches_come_from_the_data_sets_in_the_released_ratio() -> None:
    batches = Batches(
        [OnePicture("laion"), OnePicture("cc_sbu")], LAION_TO_CC_SBU, samples=2, image_size=14
    )
    drawn = Counter(tuple(batch.texts) for batch in take(batches, 1290))
    # Each batch is from one data set. 1,150 of 1,290 draws are expected, with a deviation of 11.
    assert set(drawn) == {("laion", "laion"), ("cc_sbu", "cc_sbu")}
    assert abs(drawn["laion", "laion"] - 1150) < 34


@pytest.mark.parametrize(("ratios", "count"), [([1.0], 2), ([1.0, 0.0], 2), ([], 0)])
def test_each_data_set_needs_a_ratio(ratios: list[float], count: int) -> None:
    with pytest.raises(DatasetError):
        Batches([OnePicture("x")] * count, ratios, samples=1, image_size=14)


def load_batches(
    sources: list[Source],
    number: int,
    workers: int,
    first_step: int = 0,
    taken: dict[int, list[int]] | None = None,
) -> list[Batch]:
    batches = Batches(sources, [2.0, 1.0], 3, 14, 0, Part(1, 2), first_step, taken)
    return take(DataLoader(batches, batch_size=None, num_workers=workers), number)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_continues_at_the_next_samples(
    colours: Path, flawed: Path, workers: int
) -> None:
    sources = [open_data_set(str(flawed)), open_data_set(str(colours))]
    whole = load_batches(sources, 12, workers)
    assert sum(len(batch.skipped) for batch in whole) > 3
    for step in (3, 6):
        taken = {batch.worker: batch.taken for batch in whole[:step]}
        rest = load_batches(sources, 12 - step, workers, step, taken)
        assert [(b.texts, b.skipped, b.worker, b.taken) for b in rest] == [
            (b.texts, b.skipped, b.worker, b.taken) for b in whole[step:]
        ]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_error_of_an_unusable_data_set_is_the_last_item(tmp_path: Path, workers: int) -> None:
    index = tmp_path / "list.jsonl"
    index.write_text('{"image": "none.jpg", "caption": "gone"}\n')
    batches = Batches([open_data_set(str(index))], [1.0], samples=1, image_size=14)
    (error,) = DataLoader(batches, batch_size=None, num_workers=workers)
    assert isinstance(error, DatasetError)
    assert str(error) == f"{index}: none of its images can be read."


def test_a_worker_does_not_need_shared_memory() -> None:
    batches = Batches([OnePicture("red")], [1.0], samples=4, image_size=224)
    # A limit on the size of files stands in for a small /dev/shm, which only root can make.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        loader = iter(DataLoader(batches, batch_size=None, num_workers=1, timeout=60))
        batch = next(loader)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert batch.pixels.nbytes == 4 * 224 * 224 * 3 > 200_000


class Gradient(OnePicture):
    """A data set of one picture that is brighter to the right."""

    def __init__(self) -> None:
        self.name, buffer = "gradient", BytesIO()
        Image.linear_gradient("L").rotate(90).save(buffer, "PNG")
        self.image = buffer.getvalue()


def test_a_resumed_run_makes_the_same_crops() -> None:
    def make_batches(
        number: int,
        first_step: int = 0,
        taken: dict[int, list[int]] | None = None,
        crop_scale: float = 0.5,
    ) -> list[Batch]:
        batches = Batches([Gradient()], [1.0], 3, 14, 0, Part(), first_step, taken, crop_scale)
        return take(batches, number)

    whole = make_batches(6)
    resumed = make_batches(3, 3, {0: whole[2].taken})
    for one, other in zip(whole[3:], resumed, strict=True):
        assert (one.pixels == other.pixels).all()
    drawn = {image.tobytes() for batch in whole for image in batch.pixels}
    assert len(drawn) > 12, "each of 18 samples has a crop of its own"
    uncropped = {
        image.tobytes() for batch in make_batches(6, crop_scale=1.0) for image in batch.pixels
    }
    assert len(uncropped) == 1
    assert not uncropped & drawn
