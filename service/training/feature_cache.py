"""A cache for image features: each image is encoded once, in a run or in all runs of a sweep."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from service.training.state_file import replace_file
from service.vision.projected_encoder import ProjectedEncoder


class FeatureCache:
    """The features of an encoder, kept in memory or in a folder by the pixels of the image.

    A full memory keeps its oldest entries: a data set is read in rounds, so the oldest image comes
    next. A folder is read by later runs as well, and may be shared by runs at the same time.

    Attributes:
        encode: A frozen encoder: ``[images, side, side, 3]`` pixels to ``[images, visual_tokens,
            width]``.
        encoded: Images that were encoded.
        found: Images whose features were found.

    Args:
        max_bytes: Most bytes of features to keep in memory. Images beyond that are encoded each
            time.
        folder: Keep the features in this folder instead, which must belong to one encoder.
    """

    encode: Callable[[Tensor], Tensor]

    def __init__(self, max_bytes: int = 0, folder: Path | None = None) -> None:
        self._free_bytes, self._folder = max_bytes, folder
        self._features: dict[str, Tensor] = {}
        self.encoded = self.found = 0

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the features of a batch, in its order."""
        keys = [_digest(image) for image in pixels.cpu()]
        known = {key: self._load(key, pixels.device) for key in set(keys)}
        missing = [row for row, key in enumerate(keys) if known[key] is None]
        encoded = dict(zip(missing, self.encode(pixels[missing]), strict=True)) if missing else {}
        self.encoded += len(missing)
        self.found += len(keys) - len(missing)
        features = [encoded.get(row, known[key]) for row, key in enumerate(keys)]
        for row, feature in encoded.items():
            self._store(keys[row], feature)
        return torch.stack([feature for feature in features if feature is not None])

    def describe(self) -> str:
        """Say how much encoding the cache saved."""
        everything = self.encoded + self.found
        return (
            f"Image features: {self.encoded} images encoded, {self.found} found "
            f"({100 * self.found / max(everything, 1):.0f} % of the encoding saved)."
        )

    def _load(self, key: str, device: torch.device) -> Tensor | None:
        if self._folder is None:
            return self._features.get(key)
        try:
            return load_file(self._file(self._folder, key))["features"].to(device)
        except (FileNotFoundError, SafetensorError, KeyError):
            return None

    def _store(self, key: str, feature: Tensor) -> None:
        if self._folder is not None:
            file = self._file(self._folder, key)
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                # Another run may be writing the same file under the same temporary name.
                with suppress(FileNotFoundError):
                    replace_file(file, save({"features": feature.cpu().contiguous()}))
            return
        size = feature.numel() * feature.element_size()
        if key in self._features or size > self._free_bytes:
            return
        self._free_bytes -= size
        # A copy: a view would keep the whole batch in memory.
        self._features[key] = feature.clone()

    @staticmethod
    def _file(folder: Path, key: str) -> Path:
        return folder / key[:2] / f"{key}.safetensors"


def identify_encoder(encoder: ProjectedEncoder) -> str:
    """Return a digest of everything that the features depend on except the pixels.

    The projection is left out, because it comes after the features.
    """
    digest = hashlib.blake2b(encoder.config.model_dump_json().encode(), digest_size=8)
    for name, tensor in encoder.state_dict().items():
        if not name.startswith("projection."):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _digest(image: Tensor) -> str:
    return hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).hexdigest()
