"""Features that are kept in a folder: which are found, and which encoder they belong to."""

from pathlib import Path

import torch
from torch import Tensor

from service.model_folder.layout import ModelFolder
from service.training.feature_cache import FeatureCache, identify_encoder
from service.training.model import AlignmentModel, FrozenSettings


def draw_pixels(number: int) -> Tensor:
    return torch.randint(0, 256, (number, 14, 14, 3), dtype=torch.uint8)


class Counter:
    """An encoder that counts its images."""

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, pixels: Tensor) -> Tensor:
        self.images += len(pixels)
        return pixels.float().mean((1, 2))[:, None]


def test_another_run_finds_the_features_in_the_folder(tmp_path: Path) -> None:
    pixels, encode = draw_pixels(4), Counter()
    for expected in (4, 4, 4):
        cache = FeatureCache(folder=tmp_path / "features")
        cache.encode = encode
        torch.testing.assert_close(cache(pixels), Counter()(pixels))
        assert encode.images == expected
    assert cache.describe() == (
        "Image features: 0 images encoded, 4 found (100 % of the encoding saved)."
    )


def test_a_damaged_file_is_encoded_anew(tmp_path: Path) -> None:
    pixels, encode = draw_pixels(1), Counter()
    cache = FeatureCache(folder=tmp_path)
    cache.encode = encode
    cache(pixels)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(b"")
    torch.testing.assert_close(cache(pixels), Counter()(pixels))
    assert encode.images == 2


def test_the_key_is_everything_but_the_projection(tiny_folder: Path) -> None:
    folder = ModelFolder.open(tiny_folder)
    keys = [
        identify_encoder(model.encoder)
        for model in (
            AlignmentModel.load(folder),
            AlignmentModel.load(folder, fresh=True),
            AlignmentModel.load(folder, frozen=FrozenSettings(vision_dtype="float16")),
            AlignmentModel.load(folder, "no-qformer"),
        )
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
