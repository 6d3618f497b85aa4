"""With an imported folder, the service answers like the original with the published files.

The reference uses nothing from the imported folder. Its embeddings come from the published tensors
in plain torch, its token ids from SentencePiece. Its language model is the published one, with
MiniGPT-v2's LoRA not merged.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import LlamaForCausalLM

from tests.published.files import FAMILIES, IMAGE_SIZES, PublishedFiles
from tests.published.images import make_noise, save_image
from tests.published.original_chat import (
    COMPARE,
    CONVERSATIONS,
    FORMATS,
    TWO_IMAGES,
    Message,
    write_prompt,
    write_prompt_of_one_turn,
)
from tests.published.original_encoder import add_lora, compute_embeddings, read_pixels
from tests.published.original_tokens import encode_prompt
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
# The service must drop the alpha channel of the second, not composite it.
IMAGES = [
    save_image(Image.fromarray(make_noise(60, 80, 3))),
    save_image(Image.fromarray(make_noise(70, 50, 4) // 2, "RGBA")),
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


def _make_openai_messages(messages: list[Message]) -> list[dict[str, Any]]:
    """Return the OpenAI messages, and take the images in order."""
    images = iter(IMAGES)

    def convert(part: dict[str, str]) -> dict[str, Any]:
        if part["type"] == "text":
            return part
        uri = f"data:image/png;base64,{b64encode(next(images)).decode()}"
        return {"type": "image_url", "image_url": {"url": uri}}

    return [
        {**message, "content": content if isinstance(content, str) else [*map(convert, content)]}
        for message in messages
        for content in [message["content"]]
    ]


def _answer_as_original(files: PublishedFiles, llama: LlamaForCausalLM, prompt: str) -> list[int]:
    ids = encode_prompt(files.language_model / "tokenizer.model", prompt, IMAGE_ID)
    images, size = iter(IMAGES), IMAGE_SIZES[files.family]
    parts = [
        compute_embeddings(files, read_pixels(next(images), size), size)[0]
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


def test_a_greedy_answer_is_the_originals(
    family: str, service: ServerProcess, published: Callable[[str], PublishedFiles]
) -> None:
    files = published(family)
    llama = LlamaForCausalLM.from_pretrained(files.language_model, dtype=torch.float32)
    if family == "minigpt-v2":
        add_lora(llama, files.trained)
    style, client = FORMATS[family], service.openai()
    asked = {
        name: (CONVERSATIONS[name], write_prompt(style, CONVERSATIONS[name])) for name in NAMES
    }
    asked["two images in one message"] = (TWO_IMAGES, write_prompt_of_one_turn(style, 2, COMPARE))
    answers = set()
    for name, (messages, prompt) in asked.items():
        with torch.inference_mode():
            expected = _answer_as_original(files, llama, prompt)
        response = client.chat.completions.create(
            model=client.models.list().data[0].id,
            messages=_make_openai_messages(messages),  # type: ignore[arg-type]
            temperature=0,
            max_tokens=TOKENS,
            extra_body={"repetition_penalty": 1.0, "return_token_ids": True},
        )
        found = response.choices[0].token_ids  # type: ignore[attr-defined]
        assert found == expected, name
        answers.add(tuple(found))
    assert len(answers) > len(asked) / 2, "a model that always gives the same answer is not a test"
