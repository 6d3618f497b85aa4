"""The work of a client process: its share of the streams of one load."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import uvloop

from loadtests.client import Client, Run
from loadtests.traffic import WORKLOADS, Messages

_requests: Iterator[Messages] = iter(())
"""The requests of this process."""


@dataclass(frozen=True)
class Target:
    """A server and how it is asked."""

    url: str
    model: str
    tokens: int
    sampling: str
    timeout: float


def prepare(workload: str, seed: int, count: int) -> None:
    """Make ``count`` requests now; drawing takes milliseconds, in which no answer is read."""
    global _requests
    made = WORKLOADS[workload](seed)
    _requests = chain(list(islice(made, count)), made)


def run(target: Target, streams: int, seconds: float) -> Run:
    """Run ``streams`` users for ``seconds``, and wait for their last answers."""
    client = Client(target.url, target.model, target.tokens, target.sampling, target.timeout)
    return uvloop.run(client.closed(_requests, streams, seconds))
