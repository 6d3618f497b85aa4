"""The report of the records: a Markdown table for each workload."""

from collections.abc import Iterable
from pathlib import Path

from loadtests import report
from loadtests.gpu.records import Record, Records

SYSTEMS = {"service": "this service", "vllm": "vLLM's BLIP-2"}
WORKLOADS = {
    "unique": "a new image of 224 x 224 each",
    "photo": "a new photograph of 1280 x 960 each",
    "seen": "later turns about images seen before",
    "text": "text only",
}
HEAD = (
    "| streams | system | API processes | requests/s | of the peer | tokens/s | first token p50 "
    "| p99 | between tokens p50 | p99 | encoder images/s | cores |\n"
    "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
)
TARGET_BATCH, TARGET_SHARE = 32, 0.5


def write(out: Path, records: Records) -> None:
    """Write ``report.md`` and print it."""
    encoders, loads = records.read("encoder"), records.read("load")
    machines = records.read("machine")
    card = machines[-1]["device"] if machines else "an unknown device"
    parts = [f"# Speed on {card}"]
    if encoders:
        parts += [encoder_table(encoders[-1]), encoder_verdict(encoders[-1])]
    # A later measurement of the same replaces an earlier one.
    latest = list({_identity(load): load for load in loads}.values())
    for group in dict.fromkeys(map(_group, latest)):
        parts.append(load_table(card, [load for load in latest if _group(load) == group]))
    if encoders:
        parts += stream_bounds(latest, encoders[-1])
    parts += [start_list(records.read("start")), *_problems(records)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    (out / "report.md").write_text(text)
    print(text)


def encoder_table(encoder: Record) -> str:
    """Write images/s by batch size, and their share of the roofline."""
    peak, work = encoder["matrix_flops"], encoder["flops_per_image"]
    lines = [
        f"## The encoder alone, {encoder['device']}",
        "",
        f"Matrix products in {encoder['dtype']} reach {peak / 1e12:.3g} TFLOP/s, which bounds the "
        f"ViT's {work / 1e12:.2g} TFLOP an image at {peak / work:.0f} images/s.",
        "",
        "| batch | images/s | of the bound |",
        "| ---: | ---: | ---: |",
    ]
    for row in encoder["rows"]:
        speed, share = row["images_per_second"], row["of_peak"]
        lines.append(f"| {row['batch']} | {speed:.0f} | {share:.0%} |")
    return "\n".join(lines)


def encoder_verdict(encoder: Record) -> str:
    """Say whether the target share of the roofline was reached."""
    name = f"encoder's share of the roofline at batch {TARGET_BATCH}"
    shares = {row["batch"]: row["of_peak"] for row in encoder["rows"]}
    if TARGET_BATCH in shares:
        line = report.verdict(name, shares[TARGET_BATCH], TARGET_SHARE)
    else:
        line = f"| {name} ≥ {TARGET_SHARE:g} | - | not measured |"
    return "\n".join([*report.VERDICTS, line])


def load_table(card: str, loads: list[Record]) -> str:
    """Write the table of one workload, with the ratio to the peer at the same streams."""
    first = loads[0]
    title = f"## {first['size']}: {WORKLOADS[first['workload']]}, {first['sampling']} sampling"
    order = sorted(loads, key=lambda load: (load["streams"], load["system"], load["processes"]))
    rows = [_row(load, _find_peer(load, loads)) for load in order]
    answers = (
        f"{card}, answers of {first['tokens']} tokens. The ratio is that of requests/s to the "
        "peer's best at the same streams."
    )
    return "\n".join([title, "", answers, "", HEAD, *rows])


def stream_bounds(loads: Iterable[Record], encoder: Record) -> list[str]:
    """Compare single streams with their limit: each token reads all weights."""
    lines = []
    for load in loads:
        if load["streams"] == 1 and load["gap_ms"]:
            bound = encoder["memory_bytes_per_second"] / load["decoded_bytes"]
            lines.append(
                f"A single stream of {SYSTEMS[load['system']]}, {load['size']}: "
                f"{1000 / load['gap_ms'][0]:.0f} tokens/s; reading the weights for each token "
                f"bounds it at {bound:.0f}."
            )
    return lines


def start_list(starts: list[Record]) -> str:
    """Write how long each server took to start."""
    lines = [
        f"- {start['server']}: {start['seconds']:.0f} s, {start['processes']} API process(es)"
        for start in starts
    ]
    return "\n".join(["## Starts, with the model folder", "", *lines]) if lines else ""


def _problems(records: Records) -> Iterable[str]:
    for kind, title in (("skipped", "Skipped: it did not fit"), ("failed", "Failed")):
        lines = [f"- {item['what']} {item.get('why', '')}".rstrip() for item in records.read(kind)]
        if lines:
            yield "\n".join([f"## {title}", "", *dict.fromkeys(lines)])


def _identity(load: Record) -> tuple[object, ...]:
    return (*_group(load), load["streams"], load["system"], load["processes"])


def _group(load: Record) -> tuple[object, ...]:
    return load["size"], load["workload"], load["sampling"]


def _find_peer(load: Record, loads: Iterable[Record]) -> Record | None:
    """Find the peer's fastest load with the same streams."""
    peers = [
        peer for peer in loads if peer["system"] == "vllm" and peer["streams"] == load["streams"]
    ]
    return max(peers, key=lambda peer: peer["requests_per_second"], default=None)


def _row(load: Record, peer: Record | None) -> str:
    ratio = "-"
    if peer and load["system"] != "vllm" and peer["requests_per_second"]:
        ratio = f"{load['requests_per_second'] / peer['requests_per_second']:.2f}"
    encoder = load.get("encoder")
    cells = [
        str(load["streams"]),
        SYSTEMS[load["system"]],
        str(load["processes"]),
        f"{load['requests_per_second']:.1f}",
        ratio,
        f"{load['tokens_per_second']:.0f}",
        *_milliseconds(load["first_token_ms"]),
        *_milliseconds(load["gap_ms"]),
        f"{encoder['images_per_second']:.0f}" if encoder else "-",
        _cores(load["cores"]),
    ]
    if load["failed"]:
        cells[3] += f" ({load['failed']} failed)"
    return f"| {' | '.join(cells)} |"


def _cores(cores: dict[str, float]) -> str:
    used = {role: f"{count:.1f}" for role, count in sorted(cores.items())}
    return ", ".join(f"{role} {count}" for role, count in used.items() if count != "0.0") or "-"


def _milliseconds(values: list[float] | None) -> list[str]:
    if not values:
        return ["-", "-"]
    return [f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms" for value in values]
