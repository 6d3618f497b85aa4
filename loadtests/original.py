"""Serve as the original code does: transformers' ``generate``, one request at a time.

``python -m loadtests.original FOLDER PORT`` supports enough of OpenAI's protocol for the load
tests.
"""

import asyncio
import base64
import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from PIL import Image
from transformers import AutoTokenizer, LlamaForCausalLM, TextIteratorStreamer

from service.images.decoding import resize_to_pixels
from service.model_folder.layout import ModelFolder
from service.vision.encoder import choose_device
from service.vision.weights import load_vision_encoder

SYSTEM = (
    "Give the following image: <Img>ImageContent</Img>. "
    "You will be able to see the image once I provide it to you. Please answer my questions."
)


class Model:
    """Encoder, Llama and tokenizer in one process.

    On a GPU all weights are float16, as in the original's demo. Its ``low_resource`` switch (8
    bits) saves memory and is slower. On a CPU all weights are float32.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self._device = choose_device("auto")
        dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        self._tokenizer = AutoTokenizer.from_pretrained(folder.tokenizer)
        self._encoder = load_vision_encoder(folder.vision, dtype).to(self._device)
        llama = LlamaForCausalLM.from_pretrained(folder.language_model, dtype=dtype)
        self._llama = llama.to(self._device)  # type: ignore[arg-type]
        self._one_at_a_time = asyncio.Lock()

    async def answer(self, messages: list[dict[str, Any]], tokens: int) -> AsyncIterator[str]:
        """Yield texts while they are generated."""
        async with self._one_at_a_time:
            streamer = TextIteratorStreamer(self._tokenizer, skip_prompt=True)
            thread = Thread(target=self._generate, args=(messages, tokens, streamer))
            thread.start()
            queue: Queue[str | None] = streamer.text_queue
            while (text := await asyncio.to_thread(queue.get)) is not streamer.stop_signal:
                yield text or ""
            thread.join()

    @torch.inference_mode()
    def _generate(
        self, messages: list[dict[str, Any]], tokens: int, streamer: TextIteratorStreamer
    ) -> None:
        embeddings = self._embed(messages)
        self._llama.generate(
            inputs_embeds=embeddings[None],
            attention_mask=torch.ones(1, len(embeddings), device=self._device),
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            do_sample=True,
            top_p=0.9,
            pad_token_id=0,
            streamer=streamer,
        )

    def _embed(self, messages: list[dict[str, Any]]) -> torch.Tensor:
        text, images = prompt(messages)
        parts = []
        for index, segment in enumerate(text.split("<ImageHere>")):
            ids = self._tokenizer(segment, add_special_tokens=index == 0).input_ids
            tokens = torch.tensor(ids, device=self._device)
            parts.append(self._llama.get_input_embeddings()(tokens))
            if index < len(images):
                pixels = resize_to_pixels(images[index], self._encoder.config.image_size)
                parts.append(self._encoder(pixels[None].to(self._device))[0])
        return torch.cat(parts)


def prompt(messages: list[dict[str, Any]]) -> tuple[str, list[Image.Image]]:
    """Return the conversation in the original's format, and its images."""
    text, images = SYSTEM + "###", []
    for message in messages:
        if message["role"] == "assistant":
            text += f"Assistant: {message['content']}###"
            continue
        text += "Human: "
        for part in message["content"]:
            if part["type"] == "image_url":
                data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
                images.append(Image.open(io.BytesIO(data)).convert("RGB"))
                text += "<Img><ImageHere></Img> "
            else:
                text += part["text"]
        text += "###"
    return text + "Assistant: ", images


def create_app(folder: ModelFolder) -> FastAPI:
    """Run the server. It is ready when it answers."""
    app, model = FastAPI(), Model(folder)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {}

    @app.post("/v1/chat/completions")
    async def chat(request: dict[str, Any]) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            async for text in model.answer(request["messages"], request["max_tokens"]):
                chunk = {"choices": [{"delta": {"content": text}}]}
                yield f"data: {json.dumps(chunk)}\n\n"
            # Minimum and maximum length are equal, so the answer has exactly this many tokens.
            usage = {"choices": [], "usage": {"completion_tokens": request["max_tokens"]}}
            yield f"data: {json.dumps(usage)}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(ModelFolder.open(Path(sys.argv[1]))), port=int(sys.argv[2]), log_level="error"
    )
