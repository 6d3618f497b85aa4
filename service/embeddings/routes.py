"""``POST /v1/image_embeddings``: compute an image's embeddings once, ask about it many times."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from vllm.entrypoints.serve.utils.api_utils import with_cancellation
from vllm.exceptions import VLLMNotFoundError

from service.embeddings.wire import to_base64, to_numbers
from service.engine.errors import BadRequestError
from service.images.connector import encode_source
from service.settings import Settings
from service.vision.encoded import EncodedImage


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class ImageUrl(_Part):
    """Where an image is: a data URI, an http(s) URL, or the id of an uploaded file."""

    url: str


class ImageUrlPart(_Part):
    """As in ``/v1/chat/completions``."""

    type: Literal["image_url"]
    image_url: ImageUrl

    @property
    def source(self) -> str:
        """The image's address."""
        return self.image_url.url


class InputImagePart(_Part):
    """As in ``/v1/responses``: an address or a file's id."""

    type: Literal["input_image"]
    image_url: str | None = None
    file_id: str | None = None

    @property
    def source(self) -> str:
        """The image's address."""
        return self.image_url or self.file_id or ""


Part = Annotated[ImageUrlPart | InputImagePart, Field(discriminator="type")]


class ImageEmbeddingsRequest(BaseModel):
    """Images to encode."""

    model: str | None = Field(None, description="The served model; may be left out.")
    input: list[Part] = Field(min_length=1, description="Image parts; at most `images_per_prompt`.")
    encoding_format: Literal["base64", "float"] = Field(
        "base64", description="`base64` is a safetensors file, `float` is numbers with their shape."
    )


class Numbers(BaseModel):
    """Embeddings as numbers, row by row."""

    shape: list[int]
    data: list[float]


class ImageEmbeddings(BaseModel):
    """One image's projected embeddings.

    Attributes:
        shape: ``[visual_tokens, hidden_size]``.
        image_embeds: Base64 of a safetensors file whose only tensor is ``image_embeds``, or numbers;
            either is the value of an ``image_embeds`` content part.
    """

    object: Literal["image_embeddings"] = "image_embeddings"
    index: int
    shape: list[int]
    dtype: str
    image_embeds: str | Numbers


class Usage(BaseModel):
    """Tokens that the images will take in a prompt."""

    prompt_tokens: int
    total_tokens: int


class ImageEmbeddingsResponse(BaseModel):
    """Embeddings in the order of the request's images."""

    object: Literal["list"] = "list"
    model: str
    data: list[ImageEmbeddings]
    usage: Usage


def embeddings_router(settings: Settings) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["image embeddings"])

    # The response's model is for the documentation only: there is no response for who has gone away.
    @router.post(
        "/v1/image_embeddings",
        response_model=None,
        responses={200: {"model": ImageEmbeddingsResponse}},
    )
    @with_cancellation
    async def create_image_embeddings(
        request: ImageEmbeddingsRequest, raw_request: Request
    ) -> ImageEmbeddingsResponse:
        """An image's projected embeddings, as they stand in the prompt in its place."""
        models = raw_request.app.state.openai_serving_models
        if request.model and not models.is_base_model(request.model):
            raise VLLMNotFoundError(f"The model does not exist; there is `{models.model_name()}`.")
        if len(request.input) > settings.images_per_prompt:
            message = f"At most {settings.images_per_prompt} images are encoded at once."
            raise BadRequestError(message, parameter="input")
        images = await asyncio.gather(*(encode_source(part.source) for part in request.input))
        return _response(models.model_name(), images, request.encoding_format)

    return router


def _response(model: str, images: list[EncodedImage], form: str) -> ImageEmbeddingsResponse:
    tokens = sum(len(image.embeddings) for image in images)
    return ImageEmbeddingsResponse(
        model=model,
        data=[_item(index, image, form) for index, image in enumerate(images)],
        usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
    )


def _item(index: int, image: EncodedImage, form: str) -> ImageEmbeddings:
    rows = image.embeddings
    value: Any = to_base64(rows) if form == "base64" else to_numbers(rows)
    return ImageEmbeddings(
        index=index,
        shape=list(rows.shape),
        dtype=str(rows.dtype).removeprefix("torch."),
        image_embeds=value,
    )
