"""``make figures``: measure start-up, time to first token and tokens a second of the default model.

Starts the service itself, on a free port, and prints a Markdown table. Figures are medians over
``REPEATS``; the load generator shares the machine with the service.
"""

import asyncio
import base64
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from openai import AsyncOpenAI
from PIL import Image, ImageDraw

from loadtests.server_process import free_port, run_server

REPEATS = 15
ANSWER_TOKENS = 64
CONCURRENCIES = (1, 8, 32)


def picture(seed: int) -> str:
    """Return a data URI of a 224 x 224 PNG; each seed gives a different picture."""
    image = Image.new("RGB", (224, 224), (seed * 37 % 256, seed * 91 % 256, seed * 53 % 256))
    ImageDraw.Draw(image).ellipse((20, 20, 60 + seed % 100, 180), (seed % 256, 80, 160))
    image.putpixel((0, 0), (seed % 256, seed // 256 % 256, 7))
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@contextmanager
def service(*flags: str) -> Iterator[tuple[str, float]]:
    """Start the service; give its address, and the seconds from the command to readiness."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    begin = time.monotonic()
    with (
        TemporaryDirectory() as folder,
        run_server(
            ["service", "serve", "--port", str(port), *flags],
            f"{address}/ready",
            Path(folder) / "service.log",
        ),
    ):
        yield address, time.monotonic() - begin


async def first_token(client: AsyncOpenAI, model: str, image: str, text: str) -> float:
    """Measure the seconds from a request to the first token of its answer."""
    begin = time.monotonic()
    stream = await client.chat.completions.create(
        model=model, messages=question(image, text), max_tokens=2, stream=True
    )
    seconds = 0.0
    async for chunk in stream:
        if not seconds and chunk.choices and chunk.choices[0].finish_reason is None:
            seconds = time.monotonic() - begin
    return seconds


async def throughput(client: AsyncOpenAI, model: str, concurrency: int, seed: int) -> float:
    """Measure tokens a second over ``concurrency`` streams, with a new image for each answer."""

    async def user(index: int) -> int:
        tokens = 0
        for turn in range(4):
            answer = await client.chat.completions.create(
                model=model,
                messages=question(picture(seed + index * 10 + turn), "Describe it."),
                max_tokens=ANSWER_TOKENS,
                extra_body={"ignore_eos": True},
            )
            tokens += answer.usage.completion_tokens if answer.usage else 0
        return tokens

    begin = time.monotonic()
    counts = await asyncio.gather(*(user(index) for index in range(concurrency)))
    return sum(counts) / (time.monotonic() - begin)


def question(image: str, text: str) -> list:  # type: ignore[type-arg]
    """Make a user message with an image."""
    parts = [
        {"type": "image_url", "image_url": {"url": image}},
        {"type": "text", "text": text},
    ]
    return [{"role": "user", "content": parts}]


async def measure(address: str) -> dict[str, str]:
    """Measure the rows of the table below start-up."""
    client = AsyncOpenAI(base_url=f"{address}/v1", api_key="unused", timeout=300)
    model = (await client.models.list()).data[0].id
    await first_token(client, model, picture(9999), "Warm up.")
    new = [await first_token(client, model, picture(seed), "What?") for seed in range(REPEATS)]
    seen = [await first_token(client, model, picture(0), f"{seed}?") for seed in range(REPEATS)]
    rows = {
        "time to first token, new image": f"{statistics.median(new) * 1000:.0f} ms",
        "time to first token, seen image": f"{statistics.median(seen) * 1000:.0f} ms",
    }
    for concurrency in CONCURRENCIES:
        speed = await throughput(client, model, concurrency, 10_000 * concurrency)
        rows[f"tokens/s, {concurrency} at a time, a new image each"] = f"{speed:.0f}"
    await client.close()
    return rows


def main() -> None:
    """Measure and print."""
    with service(*sys.argv[1:]) as (address, seconds):
        rows = {"start-up, command to ready": f"{seconds:.0f} s", **asyncio.run(measure(address))}
    print("| | |\n| --- | --- |")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
