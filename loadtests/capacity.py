"""Compute replicas and GPUs for a traffic mix from the measured costs of a request.

``python -m loadtests.capacity costs.toml`` prints the table of docs/how-to/scale-out.md. The model
is a utilisation law: a replica is busy for the sum of its requests' costs and may be busy for at
most ``utilisation`` of the time, so that queues stay short.
"""

import argparse
import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

TRAFFIC = (10, 100, 1_000, 10_000, 100_000)
"""Requests a minute."""


@dataclass(frozen=True)
class Costs:
    """The measured speed of one replica, each value at its best batch size.

    Attributes:
        encode: Seconds of the encoder for one new image.
        prefill: Seconds of the engine for one uncached prompt token.
        decode: Seconds of the engine for one answer token, in a full batch.
        kv_tokens: Tokens that fit into one replica's KV cache.
        token_latency: Seconds between two tokens of one stream in a full batch.
        gpus: GPUs of a replica; 0 on a CPU.
        encoder_apart: Whether the encoder has its own device, so that both work at the same time.
    """

    encode: float
    prefill: float
    decode: float
    kv_tokens: int
    token_latency: float
    gpus: int = 1
    encoder_apart: bool = False


@dataclass(frozen=True)
class Mix:
    """The traffic of the users; shares refer to all requests.

    Attributes:
        new_image: Share of requests with an image that is not in a cache.
        prompt_tokens: Mean length of a prompt, including history and visual tokens.
        prefix_hits: Share of the prompt's tokens found in the prefix cache. It holds only if
            follow-up turns reach the replica that answered before.
        answer_tokens: Mean length of an answer.
        utilisation: Share of the time that a replica may be busy.
        spare: Additional replicas, for when one fails or is replaced.
    """

    new_image: float = 0.4
    prompt_tokens: float = 300
    prefix_hits: float = 0.5
    answer_tokens: float = 100
    utilisation: float = 0.7
    spare: int = 1


@dataclass(frozen=True)
class Plan:
    """The replicas for a traffic, and the bottleneck: ``engine``, ``encoder`` or ``kv cache``."""

    replicas: int
    gpus: int
    limit: str


def busy_seconds(costs: Costs, mix: Mix) -> dict[str, float]:
    """Compute the seconds of encoder and engine for a mean request."""
    engine = (
        mix.prompt_tokens * (1 - mix.prefix_hits) * costs.prefill + mix.answer_tokens * costs.decode
    )
    return {"encoder": mix.new_image * costs.encode, "engine": engine}


def plan(costs: Costs, mix: Mix, requests_a_minute: float) -> Plan:
    """Compute the replicas for a traffic: at least one, and the spare ones."""
    rate = requests_a_minute / 60
    busy = busy_seconds(costs, mix)
    if costs.encoder_apart:
        needs = {part: rate * seconds / mix.utilisation for part, seconds in busy.items()}
    else:
        largest = max(busy, key=busy.__getitem__)
        needs = {largest: rate * sum(busy.values()) / mix.utilisation}
    # Little's law: requests in progress = arrival rate x seconds of one answer.
    under_way = rate * mix.answer_tokens * costs.token_latency
    needs["kv cache"] = under_way * (mix.prompt_tokens + mix.answer_tokens) / costs.kv_tokens
    limit = max(needs, key=needs.__getitem__)
    replicas = max(1, math.ceil(needs[limit] - 1e-9)) + mix.spare
    return Plan(replicas, replicas * costs.gpus, limit)


def table(costs: Costs, mix: Mix) -> str:
    """Write a Markdown table with a row for each traffic."""
    rows = ["| requests a minute | replicas | GPUs | limited by |", "| ---: | ---: | ---: | --- |"]
    for traffic in TRAFFIC:
        wanted = plan(costs, mix, traffic)
        rows.append(f"| {traffic:,} | {wanted.replicas:,} | {wanted.gpus:,} | {wanted.limit} |")
    return "\n".join(rows)


def read(file: Path) -> tuple[Costs, Mix]:
    """Read ``[costs]`` and ``[mix]`` of a TOML file; raise TypeError for an unknown key."""
    data = tomllib.loads(file.read_text())
    return Costs(**data["costs"]), Mix(**data.get("mix", {}))


def main() -> None:
    """Print the table of a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = ", ".join(field.name for field in fields(Costs))
    parser.add_argument("file", type=Path, help=f"TOML with [costs] ({names}) and [mix]")
    print(table(*read(parser.parse_args().file)))


if __name__ == "__main__":
    main()
