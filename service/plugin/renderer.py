"""From a request's messages to the engine's input, for every chat-like route: our additions to vLLM's renderer.

``--tokenizer-mode minigpt4`` selects this renderer, also under plain ``vllm serve``. It bounds the text, takes
file ids and embeddings as content parts, never adds a second ``<s>``, and raises vLLM's errors for ours.
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
        """As vLLM's; for its offline API."""
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
        """As vLLM's; all HTTP routes with messages come here."""
        with translate_errors(), _refuse_lost_images(tok_params):
            prepared = self._prepare(conversations, chat_params)
            return await super().render_chat_async(
                prepared, chat_params, _without_bos(tok_params), **options
            )

    def tokenize_prompt(self, prompt: Any, params: TokenizeParams) -> Any:
        """As vLLM's, for a bounded text."""
        self._check_text(prompt)
        return super().tokenize_prompt(prompt, params)

    async def tokenize_prompt_async(self, prompt: Any, params: TokenizeParams) -> Any:
        """As vLLM's, for a bounded text; all routes come here, also those without messages."""
        self._check_text(prompt)
        return await super().tokenize_prompt_async(prompt, params)

    def _prepare(
        self, conversations: Sequence[list[Any]], chat_params: ChatParams
    ) -> list[list[Any]]:
        limit = max_characters(self.model_config.max_model_len)
        embeddings_allowed = shared_settings().image_embeddings_input
        # First: reading a content may use it up.
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
    """``params`` that add no ``<s>``: the chat templates write it, and /v1/responses would repeat it."""
    return None if params is None else replace(params, add_special_tokens=False)


@contextmanager
def _refuse_lost_images(params: TokenizeParams | None) -> Iterator[None]:
    """Raise a 400 where truncation would cut off an image; vLLM then misses its placeholder and asserts."""
    try:
        yield
    except AssertionError as error:
        if params is None or params.truncate_prompt_tokens is None:
            raise
        raise BadRequestError(
            "The prompt cannot be cut: an image would be lost.",
            parameter="truncate_prompt_tokens",
        ) from error
