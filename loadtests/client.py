"""Send chat requests and time their streams, in a closed loop or an open loop."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any

import aiohttp

from loadtests.traffic import Messages

SAMPLING = {
    "nucleus": {"temperature": 1.0, "top_p": 0.9, "repetition_penalty": 1.0},
    "greedy": {"temperature": 0.0, "top_p": 1.0, "repetition_penalty": 1.0},
    "demo": {"temperature": 1.0, "top_p": 0.9, "repetition_penalty": 1.05},
}
"""Options of a request. All systems sample in the same way; their defaults differ. ``demo`` has the
values of the original's demo."""


@dataclass
class Sample:
    """One request.

    Attributes:
        begin: Seconds since the run began.
        status: HTTP status; 0 if the connection failed.
        seconds: Seconds until the end of the answer or the refusal.
        first_token: Seconds until the first token's chunk.
        gaps: Seconds between the following chunks.
        tokens: Length of the answer, counted by the server.

    The times are those of chunks, not of texts: all systems also send a chunk for a token that
    decodes to nothing (a part of a character, an id beyond the tokenizer).
    """

    begin: float
    status: int = 0
    seconds: float = 0.0
    first_token: float = 0.0
    gaps: list[float] = field(default_factory=list)
    tokens: int = 0

    @property
    def ok(self) -> bool:
        """Whether the request was answered."""
        return self.status == 200 and self.first_token > 0


@dataclass
class Run:
    """The samples of one run and its length in seconds."""

    seconds: float
    samples: list[Sample]

    def raw(self) -> dict[str, Any]:
        """Return the run as JSON, rounded to microseconds."""
        return json.loads(json.dumps(asdict(self)), parse_float=lambda text: round(float(text), 6))


class Client:
    """Sends requests to one server.

    Args:
        tokens: Length of each answer.
        sampling: A key of :data:`SAMPLING`.
        timeout: Seconds after which a request counts as failed.
    """

    def __init__(
        self,
        url: str,
        model: str,
        tokens: int = 32,
        sampling: str = "nucleus",
        timeout: float = 300.0,
    ) -> None:
        self._timeout = timeout
        self._url = f"{url}/v1/chat/completions"
        self._options = {
            "model": model,
            "max_tokens": tokens,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            **SAMPLING[sampling],
        }

    async def closed(self, workload: Iterator[Messages], concurrency: int, seconds: float) -> Run:
        """Run ``concurrency`` users for ``seconds``.

        Each user asks again as soon as an answer is complete.
        """
        samples: list[Sample] = []
        begin = monotonic()

        async def user(session: aiohttp.ClientSession) -> None:
            while monotonic() - begin < seconds:
                samples.append(await self._ask(session, next(workload), begin))

        async with self._session() as session:
            await asyncio.gather(*(user(session) for _ in range(concurrency)))
        return Run(monotonic() - begin, samples)

    async def open(
        self, workload: Iterator[Messages], rate: float, seconds: float, seed: int = 0
    ) -> Run:
        """Send requests at random times, ``rate`` a second, without waiting for answers."""
        begin = monotonic()
        async with self._session() as session:
            tasks = [
                asyncio.create_task(self._ask(session, next(workload), begin))
                async for _ in arrivals(rate, seconds, seed)
            ]
            samples = await asyncio.gather(*tasks)
        return Run(monotonic() - begin, list(samples))

    def _session(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))

    async def _ask(
        self, session: aiohttp.ClientSession, messages: Messages, start: float
    ) -> Sample:
        begin = monotonic()
        sample = Sample(begin - start)
        body = {**self._options, "messages": messages}
        try:
            async with session.post(self._url, json=body) as response:
                sample.status = response.status
                if response.status == 200:
                    await _time_stream(response, sample, begin)
                else:
                    await response.read()
        except (aiohttp.ClientError, TimeoutError):
            sample.status = 0
        sample.seconds = monotonic() - begin
        return sample


async def _time_stream(response: aiohttp.ClientResponse, sample: Sample, begin: float) -> None:
    last = begin
    async for line in response.content:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if usage := event.get("usage"):
            sample.tokens = usage["completion_tokens"]
        if not _has_token(event):
            continue
        now = monotonic()
        if sample.first_token:
            sample.gaps.append(now - last)
        else:
            sample.first_token = now - begin
        last = now


def _has_token(event: dict[str, Any]) -> bool:
    """Return whether a chunk carries a token: the first has only the role, the last only usage."""
    choices = event.get("choices")
    delta = choices[0]["delta"] if choices else {}
    return bool(delta.get("content")) or ("content" in delta and "role" not in delta)


async def arrivals(rate: float, seconds: float, seed: int) -> AsyncIterator[None]:
    """Yield at the arrival times of a Poisson process."""
    source = random.Random(seed)
    begin, due = monotonic(), 0.0
    while (due := due + source.expovariate(rate)) < seconds:
        await asyncio.sleep(max(0.0, begin + due - monotonic()))
        yield
