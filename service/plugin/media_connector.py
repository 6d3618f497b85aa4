"""The media connector that vLLM's chat parser calls for each image of a request.

vLLM runs multimodal processors for one request at a time. So the connector encodes the images while
the request's messages are parsed: the images of all requests share batches, and the processor only
copies rows.
"""

from typing import Any, NoReturn

from vllm.multimodal.media.connector import MEDIA_CONNECTOR_REGISTRY, MediaConnector

from service.embeddings.encode import encode_source
from service.errors import ImageSourceError, RequestError
from service.plugin.names import CONNECTOR
from service.vision.encoded_image import EncodedImage

ORIENTATIONS = ("stored", "exif")


@MEDIA_CONNECTOR_REGISTRY.register(CONNECTOR)
class ImageConnector(MediaConnector):
    """Fetches and encodes images, and refuses other media."""

    async def fetch_image_async(self, image_url: str, **_: Any) -> EncodedImage:  # type: ignore[override]
        """Encode an image; see :func:`encode_source`.

        ``media_io_kwargs`` may name the orientation.
        """
        return await encode_source(image_url, read_orientation(self.media_io_kwargs))

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ImageSourceError("Only images are accepted.")

    fetch_image = fetch_audio = fetch_video = fetch_image_embedding = fetch_audio_embedding = (
        _refuse
    )
    fetch_video_embedding = fetch_audio_async = fetch_video_async = _refuse
    fetch_image_embedding_async = fetch_audio_embedding_async = _refuse
    fetch_video_embedding_async = _refuse


def read_orientation(media_io_kwargs: Any) -> str | None:
    """Return the orientation that a request names; None without one.

    Raises:
        RequestError: there is no such orientation.
    """
    image = media_io_kwargs.get("image") if isinstance(media_io_kwargs, dict) else None
    wanted = image.get("orientation") if isinstance(image, dict) else None
    if wanted not in (None, *ORIENTATIONS):
        raise RequestError(
            f"The orientation of an image is {' or '.join(map(repr, ORIENTATIONS))}.",
            "media_io_kwargs",
        )
    return wanted
