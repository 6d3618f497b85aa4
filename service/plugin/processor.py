"""vLLM's multimodal processor, for images that arrive encoded.

It runs in the API process for requests. In engine processes it runs on dummy images for profiling,
which are zeros, so it does not use the encoder there.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature
from vllm.exceptions import VLLMValidationError
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.media import MediaWithBytes
from vllm.multimodal.parse import (
    ModalityDataItems,
    MultiModalDataItems,
    MultiModalDataParser,
    ProcessorBatchItems,
)
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    PromptReplacement,
    PromptUpdate,
)
from vllm.multimodal.processing.inputs import ProcessorInputs
from vllm.renderers import TokenizeParams

import service.plugin.media_connector  # noqa: F401 - registers the connector in this process
from service.embeddings.encode import content_digest
from service.families import IMAGE_TOKEN
from service.images.decoding import decode_pixels, resize_to_pixels
from service.plugin.names import CONFIG_KEY
from service.vision.encoded_image import EncodedImage
from service.vision.shared import ensure_model_folder, shared_runtime, shared_settings


@dataclass(frozen=True, eq=False)
class UnencodedImage:
    """An image that did not pass our connector: from another front end or vLLM's offline API."""

    digest: str
    load_pixels: Callable[[int], Tensor]


class ImageItems(ProcessorBatchItems[EncodedImage | UnencodedImage]):
    """The images of one prompt. An image's digest is its key in all caches."""

    def __init__(self, images: Sequence[EncodedImage | UnencodedImage]) -> None:
        super().__init__(images, "image")

    def get_item_for_hash(self, index: int) -> bytes:  # type: ignore[override]
        """Return the digests, which vLLM hashes instead of pixels or a client's own identifiers."""
        return bytes.fromhex(self.get(index).digest)


class ImageParser(MultiModalDataParser):
    """Accepts encoded images, and images that can be decoded and encoded."""

    def _parse_image_data(self, data: Any) -> ModalityDataItems[Any, Any] | None:
        images = data if isinstance(data, (list, tuple)) else [data]
        return ImageItems([_as_item(image) for image in images])


def _as_item(image: object) -> EncodedImage | UnencodedImage:
    if isinstance(image, (EncodedImage, UnencodedImage)):
        return image
    if isinstance(image, MediaWithBytes):
        # Decode again: vLLM composites alpha and applies the EXIF orientation; the original does
        # not.
        data, max_pixels = image.original_bytes, shared_settings().image_max_pixels
        return UnencodedImage(
            content_digest(data), lambda size: decode_pixels(data, size, max_pixels)
        )
    if isinstance(image, Image.Image):
        rgb = image.convert("RGB")
        digest = blake2b(f"{rgb.size}".encode() + rgb.tobytes(), digest_size=32).hexdigest()
        return UnencodedImage(digest, lambda size: resize_to_pixels(rgb, size))
    raise VLLMValidationError("An image part must hold an image.", parameter="image_url")


class ModelInfo(BaseProcessingInfo):
    """The facts that vLLM needs about the model's images."""

    def __init__(self, ctx: Any) -> None:
        super().__init__(ctx)
        settings = getattr(self.get_hf_config(), CONFIG_KEY)
        self.visual_tokens: int = settings["visual_tokens"]
        # vLLM creates an instance for each request with an image.
        ensure_model_folder(Path(settings["model_folder"]))

    def get_data_parser(self) -> MultiModalDataParser:
        """Return our parser, :class:`ImageParser`."""
        return ImageParser(expected_hidden_size=self._get_expected_hidden_size())

    def get_default_tok_params(self) -> TokenizeParams:
        """Do not add ``<s>``: the template writes it, and some routes would add a second one."""
        return replace(super().get_default_tok_params(), add_special_tokens=False)

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """Allow only images, as many as ``--limit-mm-per-prompt`` says."""
        return {"image": None}

    def get_mm_max_tokens_per_item(
        self, seq_len: int, mm_counts: Mapping[str, int]
    ) -> Mapping[str, int]:
        """Return the placeholders of an image, which are the same number for all images."""
        return {"image": self.visual_tokens}


class DummyImages(BaseDummyInputsBuilder[ModelInfo]):
    """Zeros instead of images, for memory profiling and warm-up."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        """Return a text with one placeholder for each image."""
        return IMAGE_TOKEN * mm_counts.get("image", 0)

    def get_dummy_mm_data(
        self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return encoded images of zeros."""
        hidden_size = self.info.ctx.model_config.get_inputs_embeds_size()
        zeros = torch.zeros(self.info.visual_tokens, hidden_size)
        return {"image": [EncodedImage("00" * 32, zeros)] * mm_counts.get("image", 0)}


class EncodedImageProcessor(BaseMultiModalProcessor[ModelInfo]):
    """Stacks embeddings and expands each ``<ImageHere>`` to the placeholders they will fill."""

    def _get_mm_hashes(self, inputs: ProcessorInputs) -> Any:
        # A client's `uuid` must not name a cache entry: it could give one image the cache entry of
        # another.
        return super()._get_mm_hashes(replace(inputs, mm_uuid_items=None))

    def _call_hf_processor(
        self, hf_data: Mapping[str, object], hf_kwargs: Mapping[str, object]
    ) -> BatchFeature:
        images: Sequence[EncodedImage | UnencodedImage] = hf_data["images"]  # type: ignore[assignment]
        embeddings = torch.stack([image.embeddings for image in _encoded(images)])
        return BatchFeature({"image_embeds": embeddings.to(self.info.ctx.model_config.dtype)})

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        return {"image_embeds": MultiModalFieldConfig.batched("image")}

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, object],
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Sequence[PromptUpdate]:
        tokenizer = self.info.get_tokenizer()
        return [
            PromptReplacement(
                modality="image",
                target=[tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)],
                replacement=[find_placeholder(tokenizer)] * self.info.visual_tokens,
            )
        ]


def find_placeholder(tokenizer: Any) -> int:
    """Return the token id of an image's placeholders.

    It must be in the language model's vocabulary, because penalties, prompt logprobs and the
    validation of tokens use it as an index. The id of ``<ImageHere>`` is beyond the vocabulary.
    """
    return getattr(tokenizer, "unk_token_id", None) or 0


def _encoded(images: Sequence[EncodedImage | UnencodedImage]) -> list[EncodedImage]:
    if all(isinstance(image, EncodedImage) for image in images):
        return list(images)  # type: ignore[arg-type]
    runtime = shared_runtime()
    size = runtime.config.image_size

    def start(image: UnencodedImage) -> "Future[EncodedImage]":
        return runtime.submit(image.digest, lambda: image.load_pixels(size))

    futures = [start(image) if isinstance(image, UnencodedImage) else image for image in images]
    return [image if isinstance(image, EncodedImage) else image.result() for image in futures]
