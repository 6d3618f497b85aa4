"""The route without an engine: the shape of its response, and the thread that writes it."""

import threading
from typing import Any

import httpx
import pytest
import torch
from fastapi import FastAPI

from service.api.routes.image_embeddings import embeddings_router
from service.api.routes.image_embeddings_body import answer_body
from service.api.routes.image_embeddings_schema import ImageEmbeddingsResponse, Numbers
from service.embeddings.wire import from_uri, to_uri
from service.settings import load_settings
from service.vision.encoded_image import EncodedImage

SHAPE = (4, 6)
SOURCES = ("data:,a", "data:,b")


def make_image(source: str) -> EncodedImage:
    generator = torch.Generator().manual_seed(SOURCES.index(source))
    return EncodedImage(source, torch.randn(SHAPE, generator=generator))


class Models:
    """Stands in for vLLM's registry of served models."""

    def model_name(self) -> str:
        return 'a "model"'

    def is_base_model(self, name: str) -> bool:
        return name == self.model_name()


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Collect the threads on which responses are written."""
    threads: list[threading.Thread] = []

    async def encode(source: str) -> EncodedImage:
        return make_image(source)

    def write(*arguments: Any) -> bytes:
        threads.append(threading.current_thread())
        return answer_body(*arguments)

    monkeypatch.setattr("service.api.routes.image_embeddings.encode_source", encode)
    monkeypatch.setattr("service.api.routes.image_embeddings.answer_body", write)
    return threads


async def post(form: str) -> httpx.Response:
    app = FastAPI()
    app.state.openai_serving_models = Models()
    app.include_router(embeddings_router(load_settings()))
    parts = [{"type": "image_url", "image_url": {"url": source}} for source in SOURCES]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http:
        return await http.post(
            "/v1/image_embeddings", json={"input": parts, "encoding_format": form}
        )


@pytest.mark.parametrize("form", ["base64", "float"])
async def test_the_response_is_written_on_a_thread(
    writers: list[threading.Thread], form: str
) -> None:
    http_answer = await post(form)
    assert http_answer.headers["content-type"] == "application/json"
    answer = ImageEmbeddingsResponse.model_validate(http_answer.json(), strict=True, extra="forbid")
    assert answer.model == 'a "model"'
    assert answer.usage.total_tokens == answer.usage.prompt_tokens == 8
    for index, (item, source) in enumerate(zip(answer.data, SOURCES, strict=True)):
        assert (item.index, tuple(item.shape), item.dtype) == (index, SHAPE, "float32")
        assert isinstance(item.image_embeds, Numbers if form == "float" else str)
        value = http_answer.json()["data"][index]["image_embeds"]
        assert torch.equal(from_uri(to_uri(value), SHAPE), make_image(source).embeddings)
    assert len(writers) == 1
    assert writers[0] is not threading.current_thread()
