"""The media connector that vLLM's chat parser asks for each image of a request.

vLLM runs multimodal processors one request at a time. So the encoding happens here, while the
request's messages are being parsed: every request's images wait together, and the processor later
only copies rows.
"""

import asyncio
from hashlib import blake2b
from typing import Any, NoReturn

from vllm.multimodal.media.connector import MEDIA_CONNECTOR_REGISTRY, MediaConnector

from service.embeddings.wire import NO_EMBEDDINGS, embeddings_digest, from_uri, is_embeddings_uri
from service.errors import ImageEmbeddingsError, ImageSourceError
from service.files.record import FILE_PREFIX
from service.files.store import FileStore
from service.http.tenant import TENANT
from service.images import CONNECTOR_NAME
from service.images.decoding import decode_pixels
from service.images.sources import read_source
from service.observability.tracing import span
from service.settings import Settings
from service.vision.encoded import EncodedImage
from service.vision.shared import shared_runtime, shared_settings


@MEDIA_CONNECTOR_REGISTRY.register(CONNECTOR_NAME)
class ImageConnector(MediaConnector):
    """Fetches and encodes images; everything else is refused."""

    async def fetch_image_async(self, image_url: str, **_: Any) -> EncodedImage:
        """As :func:`encode_source`."""
        return await encode_source(image_url)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ImageSourceError("Only images are accepted.")

    fetch_image = fetch_audio = fetch_video = fetch_image_embedding = fetch_audio_embedding = (
        _refuse
    )
    fetch_video_embedding = fetch_audio_async = fetch_video_async = _refuse
    fetch_image_embedding_async = fetch_audio_embedding_async = _refuse
    fetch_video_embedding_async = _refuse


async def encode_source(url: str) -> EncodedImage:
    """The embeddings of the image that ``url`` stands for.

    Args:
        url: A data URI, an http(s) address, an uploaded file's id, or embeddings as
            :mod:`service.embeddings.wire` writes them.

    Raises:
        ImageError, EncoderOverloadedError, EncoderNotReadyError, EncodingError, StorageError.
    """
    settings = shared_settings()
    salt = TENANT.get() if settings.isolate_keys else ""
    if is_embeddings_uri(url):
        return _received(url, settings, salt)
    with span("image.fetch"):
        data = await _read(url, settings)
    runtime = shared_runtime()
    size, max_pixels = runtime.config.image_size, settings.image_max_pixels
    with span("image.encode"):
        return await runtime.encode(
            content_digest(data, salt), lambda: decode_pixels(data, size, max_pixels)
        )


async def _read(url: str, settings: Settings) -> bytes:
    if url.startswith(FILE_PREFIX):
        store = FileStore(settings.files_root, settings.store_limits)
        return await asyncio.to_thread(store.read, TENANT.get(), url)
    return await read_source(url, settings.fetch_policy)


def _received(url: str, settings: Settings, salt: str) -> EncodedImage:
    if not settings.image_embeddings_input:
        raise ImageEmbeddingsError(NO_EMBEDDINGS)
    config = shared_runtime().config
    embeddings = from_uri(url, (config.visual_tokens, config.hidden_size))
    return EncodedImage(embeddings_digest(embeddings, salt), embeddings)


def content_digest(data: bytes, salt: str = "") -> str:
    """Identity of an encoded file's content. Cryptographic: nobody can make two images collide.

    Args:
        salt: Where not empty, the digest is equal only to those of the same salt, in every cache that
            is keyed by it.
    """
    return blake2b(data, digest_size=32, key=blake2b(salt.encode()).digest()).hexdigest()
