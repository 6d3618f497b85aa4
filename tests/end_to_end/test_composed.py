"""Composed models answer as transformers does with the same parts, whatever their kinds."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM, AutoTokenizer

from service.checkpoints.composition.vision import VisionChoice
from service.checkpoints.composition.writing import compose
from service.families import IMAGE_TOKEN
from service.images.decoding import decode_pixels
from service.model_folder.layout import ModelFolder
from service.vision.weights import load_vision_encoder
from tests.checkpoints.composition.parts import write_language, write_vision
from tests.published.images import make_noise, save_image
from tests.server import ServerProcess

TOKENS = 12
IMAGE = save_image(Image.fromarray(make_noise(40, 60, 3)))


@pytest.fixture(scope="module", params=[("clip", "qwen2"), ("dinov2", "gemma2")], ids="-".join)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    vision, language = request.param
    root = tmp_path_factory.mktemp("composed")
    source = write_vision(vision, root / "vision")
    llm = write_language(language, root / "llm")
    choice = VisionChoice(str(source), layers=(-2, -1), class_token=True, tokens=4)
    compose(root / "composed", choice, str(llm))
    return root / "composed"


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[ServerProcess]:
    flags = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "256"]
    process = ServerProcess(folder, flags=flags)
    try:
        yield process.start()
    finally:
        process.stop()


@torch.inference_mode()
def _answer(folder: ModelFolder, question: str, image: bytes | None) -> list[int]:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder.tokenizer)
    model: Any = AutoModelForCausalLM.from_pretrained(folder.language_model, dtype=torch.float32)
    parts: list[dict[str, str]] = [{"type": "image"}] if image else []
    content = [*parts, {"type": "text", "text": question}]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    table = model.get_input_embeddings()
    pieces = text.split(IMAGE_TOKEN)
    texts = [
        table(torch.tensor(tokenizer.encode(piece, add_special_tokens=False))) for piece in pieces
    ]
    if image:
        size = folder.index.image_size
        pixels = decode_pixels(image, size, 10_000)[None]
        texts.insert(1, load_vision_encoder(folder.vision)(pixels)[0])
    embeddings = torch.cat(texts)[None]
    generated: Any = model.generate(
        inputs_embeds=embeddings,
        attention_mask=torch.ones(embeddings.shape[:2]),
        max_new_tokens=TOKENS,
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=0,
    )
    tokens: list[int] = generated[0].tolist()
    return tokens


def test_a_greedy_answer_is_that_of_transformers(folder: Path, service: ServerProcess) -> None:
    client, model_folder = service.openai(), ModelFolder.open(folder)
    uri = f"data:image/png;base64,{b64encode(IMAGE).decode()}"
    for question, image in (("What is this?", IMAGE), ("What is this?", None)):
        parts: list[dict[str, Any]] = [{"type": "text", "text": question}]
        if image:
            parts.append({"type": "image_url", "image_url": {"url": uri}})
        response = client.chat.completions.create(
            model=client.models.list().data[0].id,
            messages=[{"role": "user", "content": parts}],  # type: ignore[list-item, misc]
            temperature=0,
            max_tokens=TOKENS,
            extra_body={"repetition_penalty": 1.0, "return_token_ids": True},
        )
        found = response.choices[0].token_ids  # type: ignore[attr-defined]
        assert found == _answer(model_folder, question, image)
