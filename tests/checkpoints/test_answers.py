"""Greedy answers of imported folders through the running service, against the published files' own.

The reference takes nothing from the imported folder: embeddings come from the published tensors in
plain torch, token ids from SentencePiece, and the language model is the one that was given, with
MiniGPT-v2's LoRA beside it instead of merged.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import LlamaForCausalLM

from tests.checkpoints.conftest import FAMILIES
from tests.checkpoints.published import Published
from tests.checkpoints.reference import add_lora, image_pixels, projected_embeddings
from tests.checkpoints.test_conversation import (
    COMPARE,
    CONVERSATIONS,
    FORMATS,
    TWO_IMAGES,
    Message,
    in_one_turn,
    played,
)
from tests.checkpoints.test_embeddings import IMAGE_SIZES, noise, saved
from tests.checkpoints.test_tokenizer import original_ids
from tests.server import ServerProcess

TOKENS = 16
NAMES = (
    "one image",
    "two turns",
    "two uploads before a question",
    "an image in a later turn",
    "text only",
    "identify",
)
# The second has an alpha channel, which must be dropped on the way and not composited.
IMAGES = [
    saved(Image.fromarray(noise(60, 80, 3))),
    saved(Image.fromarray(noise(70, 50, 4) // 2, "RGBA")),
]
IMAGE_ID = -1


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def service(family: str, imported: Callable[[str], Path]) -> Iterator[ServerProcess]:
    flags = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "1024"]
    process = ServerProcess(imported(family), flags=flags)
    try:
        yield process.start()
    finally:
        process.stop()


def _sent(messages: list[Message]) -> list[dict[str, Any]]:
    """As an OpenAI client sends it, the images in turn."""
    images = iter(IMAGES)

    def part(given: dict[str, str]) -> dict[str, Any]:
        if given["type"] == "text":
            return given
        uri = f"data:image/png;base64,{b64encode(next(images)).decode()}"
        return {"type": "image_url", "image_url": {"url": uri}}

    return [
        {**message, "content": content if isinstance(content, str) else [*map(part, content)]}
        for message in messages
        for content in [message["content"]]
    ]


def _reference_answer(files: Published, llama: LlamaForCausalLM, prompt: str) -> list[int]:
    ids = original_ids(files.language_model / "tokenizer.model", prompt, IMAGE_ID)
    images, size = iter(IMAGES), IMAGE_SIZES[files.family]
    parts = [
        projected_embeddings(files, image_pixels(next(images), size), size)[0]
        if token == IMAGE_ID
        else llama.get_input_embeddings()(torch.tensor([token]))
        for token in ids
    ]
    embeddings = torch.cat(parts)[None]
    generated = llama.generate(  # type: ignore[misc]
        inputs_embeds=embeddings,
        attention_mask=torch.ones(embeddings.shape[:2]),
        max_new_tokens=TOKENS,
        do_sample=False,
        pad_token_id=0,
    )
    return generated[0].tolist()


def test_greedy_answers_are_the_originals(
    family: str, service: ServerProcess, published: Callable[[str], Published]
) -> None:
    files = published(family)
    llama = LlamaForCausalLM.from_pretrained(files.language_model, dtype=torch.float32)
    if family == "minigpt-v2":
        add_lora(llama, files.trained)
    style, client = FORMATS[family], service.openai()
    asked = {name: (CONVERSATIONS[name], played(style, CONVERSATIONS[name])) for name in NAMES}
    asked["two images in one message"] = (TWO_IMAGES, in_one_turn(style, 2, COMPARE))
    answers = set()
    for name, (messages, prompt) in asked.items():
        with torch.inference_mode():
            wanted = _reference_answer(files, llama, prompt)
        response = client.chat.completions.create(
            model=client.models.list().data[0].id,
            messages=_sent(messages),  # type: ignore[arg-type]
            temperature=0,
            max_tokens=TOKENS,
            extra_body={"repetition_penalty": 1.0, "return_token_ids": True},
        )
        found = response.choices[0].token_ids  # type: ignore[attr-defined]
        assert found == wanted, name
        answers.add(tuple(found))
    assert len(answers) > len(asked) / 2, "a model that always says the same proves nothing"
