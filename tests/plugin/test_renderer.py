"""Our additions to vLLM's renderer."""

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.exceptions import VLLMValidationError
from vllm.renderers import TokenizeParams
from vllm.renderers.hf import HfRenderer
from vllm.renderers.registry import RENDERER_REGISTRY
from vllm.tokenizers.registry import TokenizerRegistry

from service.plugin.names import TOKENIZER_MODE
from service.plugin.register import register
from service.plugin.renderer import MiniGPT4Renderer
from service.plugin.text_limits import max_characters

PARAMS = SimpleNamespace(chat_template_kwargs={})
FILE = "file-" + "0" * 32


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reaches vLLM's own methods."""
    calls: list[Any] = []

    async def render(self: Any, conversations: Any, chat_params: Any, tok_params: Any) -> str:
        calls.append((conversations, tok_params))
        return "rendered"

    async def tokenize(self: Any, prompt: Any, params: Any) -> Any:
        return prompt

    monkeypatch.setattr(HfRenderer, "render_chat_async", render)
    monkeypatch.setattr(HfRenderer, "tokenize_prompt_async", tokenize)
    return calls


@pytest.fixture
def renderer() -> MiniGPT4Renderer:
    renderer = MiniGPT4Renderer.__new__(MiniGPT4Renderer)
    renderer.model_config = SimpleNamespace(max_model_len=2048)  # type: ignore[assignment]
    return renderer


def user(content: object) -> list[list[Any]]:
    return [[{"role": "user", "content": content}]]


def test_the_plugin_registers_it_once() -> None:
    register()
    register()
    renderer: type = RENDERER_REGISTRY.load_renderer_cls(TOKENIZER_MODE)
    assert renderer is MiniGPT4Renderer
    assert TokenizerRegistry.load_tokenizer_cls(TOKENIZER_MODE)


async def test_parts_are_rewritten_and_no_second_bos_is_added(
    calls: list[Any], renderer: MiniGPT4Renderer
) -> None:
    part = {"type": "input_image", "file_id": FILE}
    params = TokenizeParams(None, add_special_tokens=True)
    assert await renderer.render_chat_async(user([part]), PARAMS, params) == "rendered"  # type: ignore[arg-type]
    conversations, tok_params = calls[0]
    assert conversations == user([{"type": "image_url", "image_url": {"url": FILE}}])
    assert tok_params.add_special_tokens is False


@pytest.mark.parametrize(
    "content",
    ["a" * (max_characters(2048) + 1), [{"type": "image_embeds", "image_embeds": "x"}]],
    ids=["too long", "embeddings are off"],
)
async def test_a_refusal_is_vllms_error(
    calls: list[Any], renderer: MiniGPT4Renderer, content: object
) -> None:
    with pytest.raises(VLLMValidationError):
        await renderer.render_chat_async(user(content), PARAMS)  # type: ignore[arg-type]
    assert calls == []


@pytest.mark.parametrize(("cut", "expected"), [(5, VLLMValidationError), (None, AssertionError)])
async def test_a_prompt_is_not_truncated_where_an_image_would_be_lost(
    monkeypatch: pytest.MonkeyPatch,
    renderer: MiniGPT4Renderer,
    cut: int | None,
    expected: type[Exception],
) -> None:
    async def fail(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(HfRenderer, "render_chat_async", fail)
    params = TokenizeParams(None, truncate_prompt_tokens=cut)
    with pytest.raises(expected):
        await renderer.render_chat_async(user("a"), PARAMS, params)  # type: ignore[arg-type]


async def test_a_text_is_bounded_and_token_ids_are_not_a_text(
    calls: list[Any], renderer: MiniGPT4Renderer
) -> None:
    params = TokenizeParams(None)
    limit = max_characters(2048)
    for prompt in ({"prompt": "a" * limit}, {"prompt_token_ids": [1] * 2 * limit}):
        assert await renderer.tokenize_prompt_async(prompt, params) == prompt
    with pytest.raises(VLLMValidationError):
        await renderer.tokenize_prompt_async({"prompt": "a" * (limit + 1)}, params)
