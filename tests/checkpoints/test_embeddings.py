"""Imported encoders against what the original computes: every family, image size and kind of image."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from service.cli import main
from service.images.decoding import decode_pixels
from service.model_folder.layout import ModelFolder
from service.vision.weights import load_vision_encoder
from tests.checkpoints.conftest import FAMILIES
from tests.checkpoints.published import Published, write_blip2_folder
from tests.checkpoints.reference import image_pixels, projected_embeddings

IMAGE_SIZES = {"minigpt4-vicuna": 224, "minigpt4-llama2": 224, "minigpt-v2": 448}
TOLERANCE = 1e-4
"""Largest difference, relative to the largest value, in float32."""


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    generator = np.random.default_rng(7)
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _rotated_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by a quarter
    return saved(Image.fromarray(noise(120, 90, 3)), "JPEG", exif=exif, quality=95)


IMAGES: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: saved(Image.fromarray(noise(97, 203, 3))),
    "RGBA": lambda: saved(Image.fromarray(noise(64, 300, 4))),
    "grayscale": lambda: saved(Image.fromarray(noise(224, 224))),
    "grayscale with alpha": lambda: saved(Image.fromarray(noise(50, 60, 2), "LA")),
    "bilevel": lambda: saved(Image.fromarray(noise(90, 70)).convert("1")),
    "palette": lambda: saved(Image.fromarray(noise(500, 100, 3)).quantize(32)),
    "palette with transparency": lambda: saved(
        Image.fromarray(noise(60, 60, 3)).quantize(16), transparency=3
    ),
    "CMYK": lambda: saved(Image.fromarray(noise(130, 80, 4), "CMYK"), "JPEG", quality=95),
    "16-bit": lambda: saved(Image.fromarray(noise(40, 40, dtype=np.uint16) >> 7)),
    "EXIF-rotated": _rotated_by_exif,
    "larger than the input": lambda: saved(Image.fromarray(noise(700, 900, 3))),
}


def _encode(folder: Path, data: bytes) -> torch.Tensor:
    encoder = load_vision_encoder(ModelFolder.open(folder).vision)
    with torch.inference_mode():
        return encoder(decode_pixels(data, encoder.config.image_size, 10**7)[None])


def _assert_same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert found.shape == wanted.shape
    scale = wanted.abs().max()
    assert 0.1 < scale < 100, "weights of an unhealthy scale prove nothing"
    assert (found - wanted).abs().max() / scale < TOLERANCE


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_are_the_originals(
    family: str,
    kind: str,
    published: Callable[[str], Published],
    imported: Callable[[str], Path],
) -> None:
    data, size = IMAGES[kind](), IMAGE_SIZES[family]
    wanted = projected_embeddings(published(family), image_pixels(data, size), size)
    _assert_same(_encode(imported(family), data), wanted)


def test_the_reference_notices_another_image(published: Callable[[str], Published]) -> None:
    """The comparison can fail: another image moves the embeddings by far more than the tolerance."""
    files = published("minigpt4-vicuna")
    one, other = (
        projected_embeddings(files, image_pixels(IMAGES[kind](), 224), 224)
        for kind in ("RGB", "RGBA")
    )
    assert (one - other).abs().max() / one.abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("instruct", [False, True])
def test_a_blip2_folder_is_as_good_as_the_two_files(
    instruct: bool,
    tmp_path: Path,
    published: Callable[[str], Published],
    imported: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = published("minigpt4-vicuna")
    write_blip2_folder(tmp_path / "blip2", files.eva, files.blip2, instruct)
    arguments = [*files.arguments[:2], "--qformer", str(tmp_path / "blip2"), *files.arguments[6:]]
    main(["import", str(tmp_path / "model"), *arguments])
    assert ("InstructBLIP" in capsys.readouterr().out) == instruct
    data = IMAGES["RGB"]()
    assert torch.equal(
        _encode(tmp_path / "model", data), _encode(imported("minigpt4-vicuna"), data)
    )


@pytest.mark.parametrize("family", ["minigpt4-llama2", "minigpt-v2"])
def test_a_blip2_folder_lends_its_vit_only(
    family: str,
    tmp_path: Path,
    published: Callable[[str], Published],
    imported: Callable[[str], Path],
) -> None:
    """Its ln_vision is left out: the original's families without a Q-Former never load one."""
    files = published(family)
    write_blip2_folder(tmp_path / "blip2", files.eva, files.blip2)
    arguments = [*files.arguments[:2], "--vit", str(tmp_path / "blip2"), *files.arguments[4:]]
    main(["import", str(tmp_path / "model"), *arguments])
    data = IMAGES["RGB"]()
    assert torch.equal(_encode(tmp_path / "model", data), _encode(imported(family), data))
