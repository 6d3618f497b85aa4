"""Scenes and pictures are reproducible, match their labels, and differ between splits."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.scenes.datasets import (
    EXAMPLES,
    write_captions,
    write_descriptions,
    write_examples,
)
from service.scenes.render import render, render_labelled
from service.scenes.render_settings import SHIFTED_STYLE, SIDE
from service.scenes.scene import BACKGROUNDS, CELLS, Scene, cell_name, draw_scene, rng_for
from service.training.samples import Part, RawSample
from service.training.sources import open_data_set
from tests.example_scenes import read_examples

CELL = SIDE / 3


def draw_scenes(split: str, number: int) -> list[Scene]:
    return [draw_scene(rng_for(split, index)) for index in range(number)]


def test_scenes_follow_from_split_and_index_alone() -> None:
    assert draw_scenes("a", 20) == draw_scenes("a", 20)
    assert draw_scenes("a", 20) != draw_scenes("b", 20)


def test_scenes_vary_and_have_at_most_one_object_in_a_cell() -> None:
    scenes = draw_scenes("varied", 400)
    assert {len(scene.objects) for scene in scenes} == set(range(1, 7))
    assert {scene.background for scene in scenes} == set(BACKGROUNDS)
    for scene in scenes:
        cells = [item.cell for item in scene.objects]
        assert cells == sorted(set(cells))
        assert not any(item.colour == scene.background for item in scene.objects)
        assert sum(bool(item.text) for item in scene.objects) <= 1
    kinds = Counter(item.kind for scene in scenes for item in scene.objects)
    assert len(kinds) == 10
    crowded = [draw_scene(rng_for("crowded", index), crowded=True) for index in range(50)]
    assert min(len(scene.objects) for scene in crowded) >= 4


def test_the_nine_cells_have_names() -> None:
    assert [cell_name(cell) for cell in range(CELLS)] == [
        "top left",
        "top",
        "top right",
        "left",
        "middle",
        "right",
        "bottom left",
        "bottom",
        "bottom right",
    ]


@pytest.mark.parametrize("index", range(6))
def test_pictures_are_reproducible_and_objects_lie_in_their_cells(index: int) -> None:
    rng = rng_for("pictures", index)
    scene = draw_scene(rng)
    labelled = render_labelled(scene, rng)
    again = rng_for("pictures", index)
    assert render(draw_scene(again), again).tobytes() == labelled.image.tobytes()
    covered = np.asarray(labelled.silhouette) > 127
    for item, (x, y, _) in zip(scene.objects, labelled.located, strict=True):
        assert (int(y // CELL), int(x // CELL)) == (item.row, item.column)
    for cell in range(CELLS):
        row, column = divmod(cell, 3)
        middle = covered[
            round((row + 0.2) * CELL) : round((row + 0.8) * CELL),
            round((column + 0.2) * CELL) : round((column + 0.8) * CELL),
        ]
        assert middle.any() == any(item.cell == cell for item in scene.objects)


def test_objects_contrast_with_their_background() -> None:
    for index in range(40):
        rng = rng_for("contrast", index)
        scene = draw_scene(rng)
        labelled = render_labelled(scene, rng, SHIFTED_STYLE)
        pixels = np.asarray(labelled.image, dtype=float)
        covered = np.asarray(labelled.silhouette) > 200
        behind = pixels[np.asarray(labelled.silhouette) < 5].mean(0)
        assert np.abs(pixels[covered] - behind).sum(1).mean() > 60


def test_the_trainer_can_read_the_data_sets(tmp_path: Path) -> None:
    write_captions(tmp_path / "captions", 5)
    write_descriptions(tmp_path / "descriptions", 3)
    for name, number in (("captions", 5), ("descriptions", 3)):
        stream = open_data_set(str(tmp_path / name)).stream(Part(), 0)
        samples = [sample for _ in range(number) if isinstance(sample := next(stream), RawSample)]
        assert len(samples) == number
        assert {Image.open(io.BytesIO(sample.images[0])).size for sample in samples} == {(224, 224)}


def test_examples_are_listed_with_their_content(tmp_path: Path) -> None:
    write_examples(tmp_path)
    expected = [draw_scene(rng_for("examples", index)) for index in EXAMPLES.values()]
    assert list(read_examples(tmp_path).values()) == expected
    assert {picture.stem for picture in tmp_path.glob("*.png")} == set(EXAMPLES)
