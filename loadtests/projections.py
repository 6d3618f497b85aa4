"""Measure the time to the first token with few and with many projections.

``python -m loadtests.projections`` starts the service with the default model and copies of its
projection, each with other noise, in turns. Each request has a new image and the next name.
"""

import argparse
import asyncio
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from openai import AsyncOpenAI
from safetensors.torch import load_file, save_file

from loadtests.figures import first_token, picture, service
from service.model_folder.fingerprint import fingerprint
from service.serve.builtin_models import DEFAULT, resolve_model

WARM_UP = 10
REQUESTS = 50
NOISE = 0.01
"""The noise of a copy, as a share of the weights' standard deviation."""


def main() -> None:
    """Measure in turns and print the medians."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.projections", description=__doc__)
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 50])
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    seconds: dict[int, list[float]] = {count: [] for count in arguments.counts}
    with TemporaryDirectory() as root:
        for count in arguments.counts:
            write_projections(Path(root, str(count)), count)
        for turn in range(arguments.turns):
            for count in arguments.counts:
                with service("--projections-dir", f"{root}/{count}") as (address, _):
                    seconds[count] += asyncio.run(measure(address, count, turn))
    for count, measured in seconds.items():
        print(f"{count} projections: first token p50 {statistics.median(measured) * 1000:.1f} ms")


def write_projections(folder: Path, count: int) -> None:
    """Write ``count`` noisy copies of the default model's projection into ``folder``."""
    folder.mkdir()
    model = resolve_model(DEFAULT, folder)
    weights = {
        name: weight
        for name, weight in load_file(model.vision / "model.safetensors").items()
        if name.startswith("projection.")
    }
    for index in range(count):
        generator = torch.Generator().manual_seed(index)
        noisy = {
            name: weight + NOISE * weight.std() * torch.randn(weight.shape, generator=generator)
            for name, weight in weights.items()
        }
        save_file(noisy, folder / f"p{index}.safetensors", fingerprint(model))


async def measure(address: str, count: int, turn: int) -> list[float]:
    """Ask about one new image at a time; return seconds to the first token."""
    async with AsyncOpenAI(base_url=f"{address}/v1", api_key="unused", timeout=60) as client:
        while len([model async for model in client.models.list()]) < count + 1:  # noqa: ASYNC110
            await asyncio.sleep(0.5)  # the folder is read every few seconds
        seconds = [
            await first_token(
                client, f"p{n % count}", picture(100_000 * turn + 1000 * count + n), "What?"
            )
            for n in range(WARM_UP + REQUESTS)
        ]
    return seconds[WARM_UP:]


if __name__ == "__main__":
    main()
