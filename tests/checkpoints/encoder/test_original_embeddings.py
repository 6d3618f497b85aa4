"""Imported encoders compute what the original computes, for every family and kind of image."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.checkpoints.encoder.comparing import TOLERANCE, assert_close, encode
from tests.checkpoints.importing import replace_arguments, run_import, save_checkpoint
from tests.published.files import FAMILIES, IMAGE_SIZES, PublishedFiles
from tests.published.images import make_noise, save_image
from tests.published.original_encoder import compute_embeddings, read_pixels
from tests.published.sizes import VIT_WIDTH


def _save_rotated_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: a quarter turn
    return save_image(Image.fromarray(make_noise(120, 90, 3)), "JPEG", exif=exif, quality=95)


IMAGES: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: save_image(Image.fromarray(make_noise(97, 203, 3))),
    "RGBA": lambda: save_image(Image.fromarray(make_noise(64, 300, 4))),
    "grayscale": lambda: save_image(Image.fromarray(make_noise(224, 224))),
    "grayscale with alpha": lambda: save_image(Image.fromarray(make_noise(50, 60, 2), "LA")),
    "bilevel": lambda: save_image(Image.fromarray(make_noise(90, 70)).convert("1")),
    "palette": lambda: save_image(Image.fromarray(make_noise(500, 100, 3)).quantize(32)),
    "palette with transparency": lambda: save_image(
        Image.fromarray(make_noise(60, 60, 3)).quantize(16), transparency=3
    ),
    "CMYK": lambda: save_image(Image.fromarray(make_noise(130, 80, 4), "CMYK"), "JPEG", quality=95),
    "16-bit": lambda: save_image(Image.fromarray(make_noise(40, 40, dtype=np.uint16) >> 7)),
    "EXIF-rotated": _save_rotated_by_exif,
    "larger than the input": lambda: save_image(Image.fromarray(make_noise(700, 900, 3))),
}


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_are_the_originals(
    family: str,
    kind: str,
    published: Callable[[str], PublishedFiles],
    imported: Callable[[str], Path],
) -> None:
    data, size = IMAGES[kind](), IMAGE_SIZES[family]
    expected = compute_embeddings(published(family), read_pixels(data, size), size)
    assert_close(encode(imported(family), data), expected)


def test_another_image_moves_the_reference_far_beyond_the_tolerance(
    published: Callable[[str], PublishedFiles],
) -> None:
    """Otherwise the comparison could not fail."""
    files = published("minigpt4-vicuna")
    one, other = (
        compute_embeddings(files, read_pixels(IMAGES[kind](), 224), 224) for kind in ("RGB", "RGBA")
    )
    assert (one - other).abs().max() / one.abs().max() > 100 * TOLERANCE


def test_tensors_in_the_checkpoint_take_precedence_over_the_other_files(
    tmp_path: Path, published: Callable[[str], PublishedFiles]
) -> None:
    """The original loads the checkpoint last."""
    files = published("minigpt4-vicuna")
    generator = torch.Generator().manual_seed(12)
    retrained = [
        "query_tokens",
        "ln_vision.weight",
        "Qformer.bert.encoder.layer.1.output_query.dense.weight",
    ]
    blip2 = {name: torch.randn(files.blip2[name].shape, generator=generator) for name in retrained}
    eva = {"blocks.1.attn.v_bias": torch.randn(VIT_WIDTH, generator=generator)}
    eva["blocks.1.attn.q_bias"] = torch.randn(VIT_WIDTH, generator=generator)
    prefixed = {f"visual_encoder.{name}": tensor for name, tensor in eva.items()}
    checkpoint = save_checkpoint(tmp_path / "ckpt.pth", files.trained | blip2 | prefixed)
    run_import(tmp_path / "model", replace_arguments(files.arguments, projection=checkpoint))
    data = IMAGES["RGB"]()
    pixels = read_pixels(data, 224)
    combined = replace(files, eva=files.eva | eva, blip2=files.blip2 | blip2)
    expected = compute_embeddings(combined, pixels, 224)
    assert_close(encode(tmp_path / "model", data), expected)
    without = compute_embeddings(files, pixels, 224)
    assert (expected - without).abs().max() > 100 * TOLERANCE * expected.abs().max()
