"""Rewrite content parts that vLLM's parser does not know as image parts, which it knows.

A part with embeddings becomes an image whose address contains them. A part with a file's id becomes
an image whose address is that id. Our media connector understands both. So vLLM's own reader of
embeddings, which unpickles, is not used, and one request can have images and embeddings. The image
parts of OpenAI's responses API and of Anthropic's API are rewritten as well.
"""

from collections.abc import Iterable
from typing import Any

from service.embeddings.wire import NO_EMBEDDINGS, to_uri
from service.errors import ImageEmbeddingsError


def rewrite_message(message: Any, embeddings_allowed: bool) -> Any:
    """Return ``message`` with rewritten parts.

    Parts that vLLM knows, and other content, do not change.

    Raises:
        ImageEmbeddingsError: embeddings are malformed, or the settings do not allow them.
    """
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str) or not isinstance(content, Iterable):
        return message
    return {**message, "content": [_rewrite_part(part, embeddings_allowed) for part in content]}


def rewrite_anthropic_message(message: Any) -> Any:
    """Rewrite ``message`` of Anthropic's API, whose image blocks may name an uploaded file."""
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return message
    return {**message, "content": [_rewrite_anthropic_block(block) for block in content]}


def _rewrite_part(part: Any, embeddings_allowed: bool) -> Any:
    if not isinstance(part, dict):
        return part
    if "image_embeds" in part or part.get("type") == "image_embeds":
        if not embeddings_allowed:
            raise ImageEmbeddingsError(NO_EMBEDDINGS)
        return _image_part(to_uri(part.get("image_embeds")))
    address = _image_address(part)
    return part if address is None else _image_part(address)


def _image_address(part: dict[str, Any]) -> str | None:
    """Return the image's address in a part that vLLM does not read as an image, or None."""
    match part:
        case {"type": "image_url" | "input_image", "image_url": str(address)}:
            return address
        case {"type": "input_image", "image_url": {"url": str(address)}}:
            return address
        case {"type": "image", "source": dict(source)}:
            return _source_address(source)
        case {"type": "file", "file": {"file_id": str(address)} | {"file_data": str(address)}}:
            return address
        case {"file_id": str(address)} if not part.get("image_url"):
            return address
    return None


def _source_address(source: dict[str, Any]) -> str | None:
    """Return the address in an image block of Anthropic's API."""
    match source:
        case {"type": "base64", "data": str(data)}:
            return f"data:{source.get('media_type', 'image')};base64,{data}"
        case {"type": "url", "url": str(address)} | {"type": "file", "file_id": str(address)}:
            return address
    return None


def _rewrite_anthropic_block(block: Any) -> Any:
    match block:
        case {"type": "image", "source": {"type": "file", "file_id": str(address)}}:
            return {**block, "source": {"type": "url", "url": address}}
    return block


def _image_part(address: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address}}
