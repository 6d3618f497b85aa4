"""Read an image's bytes from its source: a base64 data URI or an http(s) URL."""

import pybase64

from service.errors import ImageFormatError, ImageSourceError, ImageTooLargeError
from service.images.fetch_policy import FetchPolicy
from service.images.fetching import fetch_image

ESCAPES = {"%2B": "+", "%2b": "+", "%2F": "/", "%2f": "/", "%3D": "=", "%3d": "="}


async def read_source(url: str, policy: FetchPolicy, tenant: str = "") -> bytes:
    """Return the bytes behind ``url``.

    Args:
        tenant: Name of the request's API key; limits how many fetches the key may run at once.

    Raises:
        ImageSourceError, ImageFormatError, ImageTooLargeError, ImageFetchError,
        FetchingOverloadedError.
    """
    scheme = url[:16].partition(":")[0].lower()
    if scheme == "data":
        return decode_data_uri(url, policy.max_bytes)
    if scheme not in ("http", "https"):
        raise ImageSourceError("An image must be a data: URI or an http(s) URL.")
    return await fetch_image(url, policy, tenant=tenant)


def decode_data_uri(url: str, max_bytes: int) -> bytes:
    """Decode ``data:[mediatype];base64,...`` (RFC 2397); raises as :func:`read_source`."""
    header, comma, data = url[5:].partition(",")
    if not comma:
        raise ImageSourceError("The data URI has no comma between its header and its data.")
    # Refuse a large URI before decoding it.
    if len(data) > (max_bytes + 2) // 3 * 4 + 1024:
        raise ImageTooLargeError.over_bytes(max_bytes)
    if not header.lower().endswith(";base64"):
        raise ImageSourceError("The data URI must be base64-encoded (data:image/png;base64,...).")
    try:
        decoded = pybase64.b64decode(_unescape(data), validate=True)
    except ValueError:
        raise ImageFormatError("The data URI's base64 is broken.") from None
    if len(decoded) > max_bytes:
        raise ImageTooLargeError.over_bytes(max_bytes)
    return decoded


def _unescape(data: str) -> str:
    """Replace the percent escapes of base64's own special characters.

    ``urllib.parse.unquote`` creates an object for each escape; a text of nothing but escapes would
    cost gibibytes.
    """
    if "%" in data:
        for escape, character in ESCAPES.items():
            data = data.replace(escape, character)
    return data
