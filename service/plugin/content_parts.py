"""Rewrites content parts that vLLM's parser does not know as image parts, which it does know.

A part with embeddings becomes an image whose address holds them; a part with a file's id becomes an image whose
address is that id. Our media connector understands both. vLLM's own reader of embeddings, which unpickles, is
never reached, and images and embeddings may stand side by side.
"""

from collections.abc import Iterable
from typing import Any

from service.embeddings.wire import NO_EMBEDDINGS, to_uri
from service.errors import ImageEmbeddingsError


def rewrite_message(message: Any, embeddings_allowed: bool) -> Any:
    """``message`` with our parts rewritten; others, and content that is not a list, stay as they are.

    Raises:
        ImageEmbeddingsError: embeddings are malformed, or the settings do not allow them.
    """
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str) or not isinstance(content, Iterable):
        return message
    return {**message, "content": [_rewrite_part(part, embeddings_allowed) for part in content]}


def _rewrite_part(part: Any, embeddings_allowed: bool) -> Any:
    if not isinstance(part, dict):
        return part
    if "image_embeds" in part or part.get("type") == "image_embeds":
        if not embeddings_allowed:
            raise ImageEmbeddingsError(NO_EMBEDDINGS)
        return _image_part(to_uri(part.get("image_embeds")))
    file = part.get("file") if part.get("type") == "file" else part
    file_id = file.get("file_id") if isinstance(file, dict) else None
    if isinstance(file_id, str) and not part.get("image_url"):
        return _image_part(file_id)
    return part


def _image_part(address: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address}}
