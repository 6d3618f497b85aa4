"""The dashboard's panels, in four rows. Each row answers a question from the service's metrics."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """One graph.

    Attributes:
        unit: The unit's name in Grafana: ``reqps``, ``s``, ``percentunit``, ``short``, ``bytes``.
        queries: PromQL by legend. A legend may contain labels, such as ``{{status}}``.
        stacked: Whether the lines are stacked, because their sum has a meaning.
    """

    title: str
    unit: str
    queries: dict[str, str]
    stacked: bool = False


def rate(series: str, by: str = "", match: str = "") -> str:
    """Return a counter's rate per second, summed over the replicas."""
    keep = f" by ({by})" if by else ""
    labels = f'job=~"$job"{"," + match if match else ""}'
    return f"sum{keep} (rate({series}{{{labels}}}[$__rate_interval]))"


def quantiles(histogram: str, *percents: int, match: str = "") -> dict[str, str]:
    """Return percentiles of a histogram over all replicas, by legend."""
    buckets = rate(f"{histogram}_bucket", "le", match)
    return {f"p{p}": f"histogram_quantile({p / 100}, {buckets})" for p in percents}


def mean(histogram: str) -> str:
    """Return the mean of a histogram's observations."""
    return f"{rate(f'{histogram}_sum')} / {rate(f'{histogram}_count')}"


def share(part: str, whole: str) -> str:
    """Return a fraction between 0 and 1; empty without traffic."""
    return f"{part} / ({whole} > 0)"


def highest(gauge: str) -> str:
    """Return the highest value of all replicas."""
    return f'max({gauge}{{job=~"$job"}})'


API = 'route=~"/v1/.*"'
IMAGES = "minigpt4_encoder_images_total"

ROWS: dict[str, tuple[Panel, ...]] = {
    "Are users served?": (
        Panel(
            "Requests by status",
            "reqps",
            {"{{status}}": rate("minigpt4_requests_total", "status")},
            stacked=True,
        ),
        Panel(
            "Time to first token", "s", quantiles("vllm:time_to_first_token_seconds", 50, 95, 99)
        ),
        Panel(
            "Time between tokens", "s", quantiles("vllm:inter_token_latency_seconds", 50, 95, 99)
        ),
        Panel("Whole answers", "s", quantiles("minigpt4_request_seconds", 50, 99, match=API)),
        Panel(
            "Refused and failed",
            "reqps",
            {
                "refused: {{reason}}": rate("minigpt4_requests_rejected_total", "reason"),
                "answers ended by an error": rate(
                    "vllm:request_success_total", match='finished_reason="error"'
                ),
                "images that failed": rate(IMAGES, match='outcome="failed"'),
            },
        ),
        Panel(
            "Tokens",
            "short",
            {
                "generated": rate("vllm:generation_tokens_total"),
                "prompt": rate("vllm:prompt_tokens_total"),
            },
        ),
    ),
    "What limits us?": (
        Panel(
            "Requests in the engine",
            "short",
            {
                "running": 'sum(vllm:num_requests_running{job=~"$job"})',
                "waiting": 'sum(vllm:num_requests_waiting{job=~"$job"})',
            },
        ),
        Panel(
            "KV cache, fullest replica",
            "percentunit",
            {"used": highest("vllm:kv_cache_usage_perc")},
        ),
        Panel(
            # The first bucket ends at 0.3 s, so percentiles below that would be guesses.
            "Wait in the engine's queue",
            "s",
            {"mean": mean("vllm:request_queue_time_seconds")},
        ),
        Panel(
            "Images in a batch",
            "short",
            {
                "mean": mean("minigpt4_encoder_batch_size"),
                "waiting, longest queue": highest("minigpt4_encoder_queue_length"),
            },
        ),
        Panel("Wait for the encoder", "s", quantiles("minigpt4_encoder_queue_seconds", 50, 99)),
        Panel(
            "Work on images",
            "s",
            {
                "encoding, a batch": mean("minigpt4_encoder_encode_seconds"),
                "decoding and resizing, an image": mean("minigpt4_image_prepare_seconds"),
            },
        ),
        Panel(
            "Processor of the API process, busiest replica",
            "percentunit",
            {"cores": 'max(rate(process_cpu_seconds_total{job=~"$job"}[$__rate_interval]))'},
        ),
        Panel("Preemptions", "short", {"a second": rate("vllm:num_preemptions_total")}),
    ),
    "Do the caches work?": (
        Panel(
            "Images",
            "short",
            {"{{outcome}}": rate(IMAGES, "outcome")},
            stacked=True,
        ),
        Panel(
            "Found in a cache",
            "percentunit",
            {
                "embeddings": share(rate(IMAGES, match='outcome="cached"'), rate(IMAGES)),
                "prompt tokens": share(
                    rate("vllm:prefix_cache_hits_total"), rate("vllm:prefix_cache_queries_total")
                ),
            },
        ),
        Panel(
            "Kept embeddings, fullest replica",
            "bytes",
            {"size": highest("minigpt4_embedding_cache_bytes")},
        ),
    ),
    "Who uses it?": (
        Panel(
            "Tokens by API key",
            "short",
            {"{{key}} {{direction}}": rate("minigpt4_key_tokens_total", "key, direction")},
            stacked=True,
        ),
        Panel(
            "Work by API key",
            "short",
            {"{{key}} {{part}}": rate("minigpt4_key_seconds_total", "key, part")},
            stacked=True,
        ),
        Panel(
            "Requests by API key",
            "reqps",
            {"{{key}}": rate("minigpt4_requests_total", "key")},
            stacked=True,
        ),
    ),
}
