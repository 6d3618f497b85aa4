"""Our additions to vLLM's renderer, which turns messages into the engine's input on all routes.

``--tokenizer-mode minigpt4`` selects this renderer, also under plain ``vllm serve``. It limits the
text, accepts file ids and embeddings as content parts, adds no second ``<s>``, and raises vLLM's
errors instead of ours.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from vllm.renderers import ChatParams, TokenizeParams
from vllm.renderers.hf import HfRenderer

from service.plugin.content_parts import rewrite_message
from service.plugin.errors import BadRequestError, translate_errors
from service.plugin.text_limits import (
    check_conversation,
    check_length,
    check_template_arguments,
    max_characters,
)
from service.plugin.tool_messages import rewrite_tool_message
from service.vision.shared import shared_settings


class MiniGPT4Renderer(HfRenderer):
    """vLLM's renderer for Hugging Face tokenizers, with our checks and content parts."""

    def render_chat(
        self,
        conversations: Sequence[list[Any]],
        chat_params: ChatParams,
        tok_params: TokenizeParams | None = None,
        **options: Any,
    ) -> Any:
        """Render a chat for vLLM's offline API."""
        with translate_errors(), _refuse_lost_images(tok_params):
            prepared = self._prepare(conversations, chat_params)
            return super().render_chat(prepared, chat_params, _without_bos(tok_params), **options)

    async def render_chat_async(
        self,
        conversations: Sequence[list[Any]],
        chat_params: ChatParams,
        tok_params: TokenizeParams | None = None,
        **options: Any,
    ) -> Any:
        """Render a chat for all HTTP routes with messages."""
        with translate_errors(), _refuse_lost_images(tok_params):
            prepared = self._prepare(conversations, chat_params)
            return await super().render_chat_async(
                prepared, chat_params, _without_bos(tok_params), **options
            )

    def tokenize_prompt(self, prompt: Any, params: TokenizeParams) -> Any:
        """Tokenize a text within the limit."""
        self._check_text(prompt)
        return super().tokenize_prompt(prompt, params)

    async def tokenize_prompt_async(self, prompt: Any, params: TokenizeParams) -> Any:
        """Tokenize a text within the limit, for all routes, also those without messages."""
        self._check_text(prompt)
        return await super().tokenize_prompt_async(prompt, params)

    def _prepare(
        self, conversations: Sequence[list[Any]], chat_params: ChatParams
    ) -> list[list[Any]]:
        limit = max_characters(self.model_config.max_model_len)
        embeddings_allowed = shared_settings().image_embeddings_input
        # First, because reading a content may exhaust its iterator.
        prepared = [
            [
                rewrite_message(rewrite_tool_message(message), embeddings_allowed)
                for message in conversation
            ]
            for conversation in conversations
        ]
        for conversation in prepared:
            check_conversation(conversation, limit)
        check_template_arguments(chat_params.chat_template_kwargs)
        return prepared

    def _check_text(self, prompt: Any) -> None:
        with translate_errors():
            text = prompt.get("prompt") or ""
            check_length(len(text), max_characters(self.model_config.max_model_len))


def _without_bos(params: TokenizeParams | None) -> TokenizeParams | None:
    """Return ``params`` without an added ``<s>``: the chat templates write it."""
    return None if params is None else replace(params, add_special_tokens=False)


@contextmanager
def _refuse_lost_images(params: TokenizeParams | None) -> Iterator[None]:
    """Raise a 400 if truncation would cut an image: vLLM asserts that all placeholders exist."""
    try:
        yield
    except AssertionError as error:
        if params is None or params.truncate_prompt_tokens is None:
            raise
        raise BadRequestError(
            "The prompt cannot be cut: an image would be lost.",
            parameter="truncate_prompt_tokens",
        ) from error
