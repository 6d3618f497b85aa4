"""The JSON of the request and the response."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class ImageUrl(_Part):
    """The source of an image: a data URI, an http(s) URL, or the id of an uploaded file."""

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
        image_embeds: Base64 of a safetensors file whose only tensor is ``image_embeds``, or
            numbers; either is the value of an ``image_embeds`` content part.
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
