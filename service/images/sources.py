"""Where an image comes from: a base64 data URI, or an http(s) address fetched with care."""

import pybase64

from service.errors import ImageFormatError, ImageSourceError, ImageTooLargeError
from service.images.fetch_policy import FetchPolicy
from service.images.fetching import fetch

ESCAPES = {"%2B": "+", "%2b": "+", "%2F": "/", "%2f": "/", "%3D": "=", "%3d": "="}


async def read_source(url: str, policy: FetchPolicy, tenant: str = "") -> bytes:
    """The bytes that ``url`` stands for.

    Raises:
        ImageSourceError, ImageFormatError, ImageTooLargeError, ImageFetchError,
        FetchingOverloadedError: see their texts.
    """
    scheme = url[:16].partition(":")[0].lower()
    if scheme == "data":
        return read_data_uri(url, policy.max_bytes)
    if scheme not in ("http", "https"):
        raise ImageSourceError("An image is given as a data: URI or an http(s) URL.")
    return await fetch(url, policy, tenant=tenant)


def read_data_uri(url: str, max_bytes: int) -> bytes:
    """Decode ``data:[mediatype];base64,...`` (RFC 2397); raises as :func:`read_source`."""
    header, comma, data = url[5:].partition(",")
    if not comma:
        raise ImageSourceError("The data URI has no comma between its header and its data.")
    if len(data) > (max_bytes + 2) // 3 * 4 + 1024:
        raise ImageTooLargeError(f"The image has more than {max_bytes} bytes.")
    if not header.lower().endswith(";base64"):
        raise ImageSourceError("The data URI must be base64-encoded (data:image/png;base64,...).")
    try:
        decoded = pybase64.b64decode(_unescaped(data), validate=True)
    except ValueError:
        raise ImageFormatError("The data URI's base64 is broken.") from None
    if len(decoded) > max_bytes:
        raise ImageTooLargeError(f"The image has more than {max_bytes} bytes.")
    return decoded


def _unescaped(data: str) -> str:
    """Base64 without the escapes that its own characters may have in a URI.

    Those only, as a general reader makes an object of each: gibibytes of a text that is nothing else.
    """
    if "%" in data:
        for escape, character in ESCAPES.items():
            data = data.replace(escape, character)
    return data
