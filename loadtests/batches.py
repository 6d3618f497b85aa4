"""What does a running batch cost the other requests?

    python -m loadtests.batches [FLAGS OF THE SERVICE]

Starts the service and sends it questions about new images at random times. Phases take turns:
nothing else runs; a batch runs; the lines of the same batch are sent as ordinary requests, a few at
a time. Prints a Markdown table of times to the first token, and how many lines a second were
finished meanwhile.
"""

import argparse
import asyncio
import itertools
import json
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

from openai import AsyncOpenAI

from loadtests.client import Client, Sample
from loadtests.figures import service
from loadtests.traffic import unique_images

ENDPOINT: Any = "/v1/chat/completions"
LINES = 2000
"""More than a phase can finish."""

LINE_TOKENS = 64
SEEDS = itertools.count(1_000_000, 1_000_000)


@dataclass
class Phase:
    """The samples of all turns of one phase."""

    name: str
    samples: list[Sample] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    lines: int = 0
    seconds: float = 0.0

    def row(self) -> str:
        """The phase as a row of the table."""
        times = sorted(sample.first_token for sample in self.samples if sample.ok)
        p95 = times[int(len(times) * 0.95)]
        turns = f"{min(self.medians) * 1000:.0f} to {max(self.medians) * 1000:.0f}"
        failed = len(self.samples) - len(times)
        return (
            f"| {self.name} | {len(times)} ({failed} failed) | {statistics.median(times) * 1000:.0f} ms "
            f"| {turns} ms | {p95 * 1000:.0f} ms | {self.lines / self.seconds:.1f} |"
        )


def bodies(number: int) -> list[dict[str, Any]]:
    """The bodies of a batch's lines, each about an image of its own."""
    workload = unique_images(next(SEEDS))
    return [
        {"messages": next(workload), "max_tokens": LINE_TOKENS, "ignore_eos": True}
        for _ in range(number)
    ]


@asynccontextmanager
async def nothing(_: AsyncOpenAI, __: Phase) -> AsyncIterator[None]:
    """Leave the service to the questions."""
    yield


@asynccontextmanager
async def batch(client: AsyncOpenAI, phase: Phase) -> AsyncIterator[None]:
    """Run a batch meanwhile."""
    lines = [
        {"custom_id": str(number), "method": "POST", "url": ENDPOINT, "body": body}
        for number, body in enumerate(bodies(LINES))
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    file = await client.files.create(file=("in.jsonl", content), purpose="batch")
    made = await client.batches.create(
        input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h"
    )
    while (await client.batches.retrieve(made.id)).status == "validating":  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    yield
    await client.batches.cancel(made.id)
    while (done := await client.batches.retrieve(made.id)).status != "cancelled":  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    assert done.request_counts is not None
    assert done.request_counts.failed == 0
    phase.lines += done.request_counts.completed
    await client.files.delete(file.id)


@asynccontextmanager
async def requests(client: AsyncOpenAI, phase: Phase, at_once: int = 4) -> AsyncIterator[None]:
    """Send the lines as ordinary requests meanwhile."""
    left = iter(bodies(LINES))

    async def work() -> None:
        for body in left:
            await client.post(ENDPOINT.removeprefix("/v1"), body=body, cast_to=object)
            phase.lines += 1

    workers = [asyncio.create_task(work()) for _ in range(at_once)]
    yield
    for worker in workers:
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker


PHASES = {
    "nothing else": nothing,
    "a batch runs": batch,
    "its lines as requests, 4 at a time": requests,
}


async def measure(url: str, rate: float, seconds: float, rounds: int) -> Sequence[Phase]:
    """Run all phases in turns."""
    phases = [Phase(name) for name in PHASES]
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as openai:
        model = (await openai.models.list()).data[0].id
        client = Client(url, model)
        await client.open(unique_images(0), rate, 5.0)
        for turn in range(rounds):
            for phase in phases:
                async with PHASES[phase.name](openai, phase):
                    await asyncio.sleep(1)
                    run = await client.open(unique_images(next(SEEDS)), rate, seconds, seed=turn)
                phase.samples += run.samples
                phase.seconds += run.seconds + 1
                times = [sample.first_token for sample in run.samples if sample.ok]
                phase.medians.append(statistics.median(times))
    return phases


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rate", type=float, default=0.5, help="questions a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a phase")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each phase")
    arguments, flags = parser.parse_known_args()
    with TemporaryDirectory() as files, service("--files-dir", files, *flags) as (url, _):
        phases = asyncio.run(measure(url, arguments.rate, arguments.seconds, arguments.rounds))
    print(
        "| meanwhile | questions | time to first token p50 | p50 of the turns | p95 | lines/s |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    for phase in phases:
        print(phase.row())


if __name__ == "__main__":
    main()
