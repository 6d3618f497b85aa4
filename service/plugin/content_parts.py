"""Content parts that vLLM's parser does not know, as image parts that it does.

A part with embeddings becomes an image whose address holds them, and a part with a file's id one whose
address is that id: our media connector understands both. So vLLM's own reading of embeddings, which
unpickles, is never reached, and images and embeddings may stand side by side.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from service.embeddings.wire import NO_EMBEDDINGS, to_uri
from service.errors import ImageEmbeddingsError
from service.plugin.errors import BadRequestError
from service.vision.shared import shared_settings


def with_image_parts(render: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """``render`` (``render_chat_async`` of vLLM's renderers), taking our parts as well.

    It raises :class:`ImageEmbeddingsError` for embeddings where the settings do not allow them, and
    :class:`BadRequestError` where a prompt that is cut would lose an image.
    """

    async def rendered(
        conversations: Any, chat_params: Any, tok_params: Any = None, **options: Any
    ) -> Any:
        allowed = shared_settings().image_embeddings_input
        ours = [
            [_message(message, allowed) for message in conversation]
            for conversation in conversations
        ]
        try:
            return await render(ours, chat_params, tok_params, **options)
        except AssertionError as error:
            if tok_params is None or tok_params.truncate_prompt_tokens is None:
                raise
            # vLLM finds no placeholder for an image that was cut off.
            raise BadRequestError(
                "The prompt cannot be cut: an image would be lost.",
                parameter="truncate_prompt_tokens",
            ) from error

    return rendered


def _message(message: Any, embeddings_input: bool) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str) or not isinstance(content, Iterable):
        return message
    return {**message, "content": [_part(part, embeddings_input) for part in content]}


def _part(part: Any, embeddings_input: bool) -> Any:
    if not isinstance(part, dict):
        return part
    if "image_embeds" in part or part.get("type") == "image_embeds":
        if not embeddings_input:
            raise ImageEmbeddingsError(NO_EMBEDDINGS)
        return _image(to_uri(part.get("image_embeds")))
    file = part.get("file") if part.get("type") == "file" else part
    file_id = file.get("file_id") if isinstance(file, dict) else None
    if isinstance(file_id, str) and not part.get("image_url"):
        return _image(file_id)
    return part


def _image(address: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address}}
