"""A tiny model folder, tiny data sets, and their readers."""

import io
import json
import tarfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from service.checkpoints.random_model import init_model
from service.errors import DatasetError
from service.training.batches import Batch
from service.training.samples import Part, RawSample, Source


def picture(colour: str, form: str = "JPEG") -> bytes:
    """An encoded image of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, form)
    return buffer.getvalue()


def write_shard(file: Path, samples: dict[str, dict[str, bytes]]) -> None:
    """A tar file with ``{key: {suffix: content}}``."""
    with tarfile.open(file, "w") as archive:
        for key, group in samples.items():
            for suffix, content in group.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def read_texts(
    source: Source, number: int, part: Part | None = None, seed: int = 0, skip: int = 0
) -> list[str]:
    """The texts of the first usable samples."""
    stream = (s for s in source.stream(part or Part(), seed, skip) if isinstance(s, RawSample))
    return [sample.text for sample in islice(stream, number)]


def take(batches: Iterable[Batch | DatasetError], number: int) -> list[Batch]:
    """The first batches; fails if one of them is an error."""
    first = [batch for batch in islice(batches, number) if isinstance(batch, Batch)]
    assert len(first) == number
    return first


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny minigpt4-vicuna folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    init_model(folder, "minigpt4-vicuna", "tiny")
    return folder


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSONL folder of four plain pictures with captions."""
    folder = tmp_path_factory.mktemp("colours")
    lines = []
    for colour in ("red", "blue", "green", "yellow"):
        (folder / f"{colour}.jpg").write_bytes(picture(colour))
        lines.append(json.dumps({"image": f"{colour}.jpg", "caption": f"a {colour} square"}))
    (folder / "captions.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="session")
def flawed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSONL of five plain pictures, a line that is not JSON, and two missing images."""
    folder = tmp_path_factory.mktemp("flawed")
    lines = ["{"]
    for colour in ("red", "blue", "green", "yellow", "black"):
        (folder / f"{colour}.jpg").write_bytes(picture(colour))
        lines.append(json.dumps({"image": f"{colour}.jpg", "caption": f"a {colour} square"}))
    lines += [json.dumps({"image": f"none{n}.jpg", "caption": "gone"}) for n in range(2)]
    index = folder / "captions.jsonl"
    index.write_text("\n".join(lines))
    return index
