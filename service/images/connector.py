"""The media connector that vLLM's chat parser asks for each image of a request.

vLLM runs multimodal processors one request at a time. So the encoding happens here, while the
request's messages are being parsed: every request's images wait together, and the processor later
only copies rows.
"""

from hashlib import blake2b
from typing import Any, NoReturn

from vllm.multimodal.media.connector import MEDIA_CONNECTOR_REGISTRY, MediaConnector

from service.errors import ImageSourceError
from service.images import CONNECTOR_NAME
from service.images.decoding import decode_pixels
from service.images.sources import read_source
from service.vision.encoded import EncodedImage
from service.vision.shared import shared_runtime, shared_settings


@MEDIA_CONNECTOR_REGISTRY.register(CONNECTOR_NAME)
class ImageConnector(MediaConnector):
    """Fetches and encodes images; everything else is refused."""

    async def fetch_image_async(self, image_url: str, **_: Any) -> EncodedImage:
        """An image's embeddings; raises :mod:`service.errors`' image and encoder errors."""
        settings = shared_settings()
        data = await read_source(image_url, settings.fetch_policy)
        runtime = shared_runtime()
        size, max_pixels = runtime.config.image_size, settings.image_max_pixels
        return await runtime.encode(
            content_digest(data), lambda: decode_pixels(data, size, max_pixels)
        )

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ImageSourceError("Only images are accepted.")

    fetch_image = fetch_audio = fetch_video = fetch_image_embedding = fetch_audio_embedding = (
        _refuse
    )
    fetch_video_embedding = fetch_audio_async = fetch_video_async = _refuse
    fetch_image_embedding_async = fetch_audio_embedding_async = _refuse
    fetch_video_embedding_async = _refuse


def content_digest(data: bytes) -> str:
    """Identity of an encoded file's content. Cryptographic: nobody can make two images collide."""
    return blake2b(data, digest_size=32).hexdigest()
