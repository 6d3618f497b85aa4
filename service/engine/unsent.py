"""Images that were prepared for the engine and never got there.

vLLM's two processes keep the same cache of images by what each believes of the other: once a prompt is
prepared, the API process counts its images as sent. A request that is refused or given up between the
two would leave the next one about the same image without its data, and failing.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

KEY = "minigpt4_unsent"
"""Where a prepared prompt carries its :class:`Unsent`; vLLM ignores keys that it does not know."""


class Unsent:
    """The images of one prompt whose data is on its way; forgotten by the cache if dropped unsent."""

    def __init__(self, cache: Any, hashes: Sequence[str]) -> None:
        self._cache = cache
        self._hashes = hashes

    def sent(self) -> None:
        """The engine has them."""
        self._hashes = ()

    def drop(self) -> None:
        """The engine will never have them, unless it has already. Idempotent."""
        hashes, self._hashes = self._hashes, ()
        for image in hashes:
            self._cache.invalidate(image)

    def __del__(self) -> None:
        self.drop()


PREPARED: ContextVar[list[Unsent] | None] = ContextVar("prepared", default=None)
"""Of the request that is being served."""


@contextmanager
def dropping_unsent() -> Iterator[None]:
    """At the block's end drop what was prepared in it and is unsent: what is left of a refusal may keep a
    prompt from being collected for long."""
    token = PREPARED.set([])
    try:
        yield
    finally:
        for unsent in PREPARED.get() or ():
            unsent.drop()
        PREPARED.reset(token)


def marking_unsent(
    render: Callable[..., Awaitable[Any]], cache: Any
) -> Callable[..., Awaitable[Any]]:
    """``render`` (``render_chat_async`` of vLLM's renderers), marking the prompts that it prepares."""

    async def rendered(*arguments: Any, **options: Any) -> Any:
        conversations, prompts = await render(*arguments, **options)
        for prompt in prompts:
            hashes = _carried(prompt)
            if cache is not None and hashes:
                prompt[KEY] = unsent = Unsent(cache, hashes)
                if (prepared := PREPARED.get()) is not None:
                    prepared.append(unsent)
        return conversations, prompts

    return rendered


def mark_sent(prompt: Any) -> None:
    """The engine has ``prompt``."""
    if isinstance(prompt, dict) and (unsent := prompt.get(KEY)) is not None:
        unsent.sent()


def _carried(prompt: Any) -> list[str]:
    """Hashes of the images whose data is in the prompt; of the others the engine has it."""
    items = prompt.get("mm_kwargs", {}).get("image", ()) if isinstance(prompt, dict) else ()
    hashes = prompt.get("mm_hashes", {}).get("image", ()) if items else ()
    return [name for name, item in zip(hashes, items, strict=False) if item is not None]
