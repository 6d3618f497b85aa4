"""Read an image's bytes from its source: a base64 data URI or an http(s) URL."""

import re
from collections.abc import Mapping

import pybase64

from service.errors import ImageFormatError, ImageSourceError, ImageTooLargeError
from service.images.fetch_policy import FetchPolicy
from service.images.fetching import Fetched, fetch_if_changed

BARE_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{64}")
"""How base64 without ``data:`` begins; nothing shorter is an image, and no URL looks like it."""

WHITE_SPACE = b" \t\r\n"
URL_SAFE = bytes.maketrans(b"-_", b"+/")

ESCAPES = {"%2B": "+", "%2b": "+", "%2F": "/", "%2f": "/", "%3D": "=", "%3d": "="}


async def read_source(url: str, policy: FetchPolicy, tenant: str = "") -> bytes:
    """Return the bytes behind ``url``; as :func:`read_if_changed`."""
    read = await read_if_changed(url, policy, {}, tenant)
    assert read is not None
    return read.data


async def read_if_changed(
    url: str, policy: FetchPolicy, conditions: Mapping[str, str], tenant: str = ""
) -> Fetched | None:
    """Read the image behind ``url``.

    Args:
        conditions: Those of an earlier read of an http(s) URL, or none.
        tenant: Name of the request's API key; limits how many fetches the key may run at once.

    Returns:
        None if the image has not changed since that read.

    Raises:
        ImageSourceError, ImageFormatError, ImageTooLargeError, ImageFetchError,
        FetchingOverloadedError.
    """
    scheme, colon, _ = url[:16].partition(":")
    if scheme.lower() == "data":
        return Fetched(decode_data_uri(url, policy.max_bytes))
    if not colon and BARE_BASE64.match(url):
        return Fetched(decode_base64(url, policy.max_bytes))
    if scheme.lower() not in ("http", "https"):
        raise ImageSourceError("An image must be a data: URI or an http(s) URL.")
    return await fetch_if_changed(url, policy, conditions, tenant=tenant)


def decode_data_uri(url: str, max_bytes: int) -> bytes:
    """Decode ``data:[mediatype];base64,...`` (RFC 2397); raises as :func:`read_source`."""
    header, comma, data = url[5:].partition(",")
    if not comma:
        raise ImageSourceError("The data URI has no comma between its header and its data.")
    if not header.lower().endswith(";base64"):
        raise ImageSourceError("The data URI must be base64-encoded (data:image/png;base64,...).")
    return decode_base64(data, max_bytes)


def decode_base64(data: str, max_bytes: int) -> bytes:
    """Decode base64 with or without padding, with line breaks, in the standard or the URL-safe alphabet.

    Raises:
        ImageFormatError, ImageTooLargeError.
    """
    # Refuse a large text before decoding it; a twentieth more leaves room for line breaks.
    if len(data) > max_bytes * 7 // 5 + 1024:
        raise ImageTooLargeError.over_bytes(max_bytes)
    try:
        packed = _unescape(data).encode("ascii").translate(URL_SAFE, WHITE_SPACE)
        padding = b"=" * (-len(packed) % 4)
        decoded = pybase64.b64decode(packed + padding, validate=True)
    except ValueError:
        raise ImageFormatError("The image's base64 is broken.") from None
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
