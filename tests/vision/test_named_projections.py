"""Projections by name: their application in batches, and the files that come and go."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from service.errors import EncodingError
from service.model_folder.fingerprint import fingerprint
from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import load_vision_config
from service.vision.encoded_image import EncodedImage
from service.vision.named_projections import Projections
from service.vision.projection_loader import ProjectionLoader, read_base_projection
from service.vision.weights import load_vision_encoder

BASE = "base"


@pytest.fixture
def folder(tiny_model: Callable[[str], ModelFolder]) -> ModelFolder:
    return tiny_model("minigpt4-vicuna")


@pytest.fixture
def projections(folder: ModelFolder) -> Iterator[Projections]:
    config = load_vision_config(folder.vision)
    base = read_base_projection(BASE, folder.root, config)
    made = Projections(base, config, torch.device("cpu"), torch.float32)
    yield made
    made.shutdown()


@pytest.fixture
def loader(folder: ModelFolder, projections: Projections, tmp_path: Path) -> ProjectionLoader:
    config = load_vision_config(folder.vision)
    return ProjectionLoader(projections, config, fingerprint(folder), frozenset({BASE}), tmp_path)


def write(folder: ModelFolder, path: Path, factor: float) -> Path:
    stored = load_file(folder.vision / "model.safetensors")
    tensors = {name: t * factor for name, t in stored.items() if name.startswith("projection.")}
    save_file(tensors, path)
    return path


def features(folder: ModelFolder, digest: str) -> EncodedImage:
    config = load_vision_config(folder.vision)
    generator = torch.Generator().manual_seed(int(digest, 16))
    rows = torch.randn(config.visual_tokens, config.projection_width, generator=generator)
    return EncodedImage(digest, rows)


async def test_the_base_projection_is_the_encoders(
    folder: ModelFolder, projections: Projections
) -> None:
    image = features(folder, "0a")
    expected = load_vision_encoder(folder.vision).projection(image.embeddings)
    found = await projections.project(image, projections.base)
    assert torch.equal(found.embeddings, expected)


async def test_images_of_many_requests_are_projected_each_by_its_own(
    folder: ModelFolder, projections: Projections, loader: ProjectionLoader, tmp_path: Path
) -> None:
    for name, factor in (("double", 2.0), ("half", 0.5)):
        write(folder, tmp_path / f"{name}.safetensors", factor)
    loader.scan()
    images = [features(folder, f"{number:02x}") for number in range(6)]
    expected = [(await projections.project(image, projections.base)).embeddings for image in images]
    wanted = {name: projections.find(name) for name in projections.names}
    found = await asyncio.gather(
        *(
            projections.project(image, projection)
            for image in images
            for projection in wanted.values()
            if projection is not None
        )
    )
    assert len({image.digest for image in found}) == 12, "each pair is a cache entry of its own"
    factors = [2.0, 0.5] * 6
    for index, (image, factor) in enumerate(zip(found, factors, strict=True)):
        torch.testing.assert_close(image.embeddings, expected[index // 2] * factor)


async def test_one_bad_image_fails_alone(folder: ModelFolder, projections: Projections) -> None:
    bad = features(folder, "0b")
    bad.embeddings.fill_(float("nan"))
    good, failed = await asyncio.gather(
        projections.project(features(folder, "0a"), projections.base),
        projections.project(bad, projections.base),
        return_exceptions=True,
    )
    assert isinstance(good, EncodedImage)
    assert isinstance(failed, EncodingError)


def test_files_come_change_and_go(
    folder: ModelFolder, projections: Projections, loader: ProjectionLoader, tmp_path: Path
) -> None:
    assert loader.scan() == []
    path = write(folder, tmp_path / "medical.safetensors", 2.0)
    (tmp_path / "notes.txt").write_text("not a projection")
    (tmp_path / ".hidden.safetensors").write_text("being written")
    assert ["medical is served" in line for line in loader.scan()] == [True]
    first = projections.find("medical")
    assert loader.scan() == [], "nothing has changed"
    write(folder, path, 3.0)
    os.utime(path, ns=(1, 1))
    assert len(loader.scan()) == 1
    second = projections.find("medical")
    assert first is not None
    assert second is not None
    assert first.digest != second.digest
    path.unlink()
    assert ["removed" in line for line in loader.scan()] == [True]
    assert projections.names == []


def test_a_bad_file_is_refused_and_the_others_are_served(
    folder: ModelFolder, projections: Projections, loader: ProjectionLoader, tmp_path: Path
) -> None:
    write(folder, tmp_path / "good.safetensors", 2.0)
    (tmp_path / "bad.safetensors").write_text("nothing")
    lines = loader.scan()
    assert [line.split()[1] for line in lines if line.endswith("It is not served.")] == ["bad"]
    assert projections.names == ["good"]
    assert loader.scan() == [], "a bad file is not read again until it changes"


def test_a_file_that_turns_bad_is_served_no_longer(
    folder: ModelFolder, projections: Projections, loader: ProjectionLoader, tmp_path: Path
) -> None:
    path = write(folder, tmp_path / "medical.safetensors", 2.0)
    loader.scan()
    path.write_text("nothing")
    loader.scan()
    assert projections.names == []


def test_given_files_win_over_the_folder_and_the_base_name_is_taken(
    folder: ModelFolder, projections: Projections, loader: ProjectionLoader, tmp_path: Path
) -> None:
    given = write(folder, tmp_path / ".given.safetensors", 2.0)
    lines = loader.load_given({"medical": given, BASE: given})
    assert "base model's name" in lines[1]
    write(folder, tmp_path / "medical.safetensors", 3.0)
    assert loader.scan() == []
    assert projections.names == ["medical"]


def test_a_folder_that_cannot_be_read_keeps_what_is_served(
    folder: ModelFolder, projections: Projections, loader: ProjectionLoader, tmp_path: Path
) -> None:
    write(folder, tmp_path / "medical.safetensors", 2.0)
    loader.scan()
    moved = tmp_path.rename(tmp_path.parent / "away")
    assert loader.scan() == []
    assert projections.names == ["medical"]
    moved.rename(tmp_path)
