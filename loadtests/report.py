"""Tables (Markdown) and plots of the records of ``bench``, and which targets are met."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

Record = dict[str, Any]
ROWS: dict[str, Callable[[Record], str]] = {
    "requests/s": lambda record: f"{rate(record):.1f}",
    "of the turns": lambda record: wavering(record),
    "tokens/s": lambda record: f"{speed:.0f}" if (speed := tokens_rate(record)) else "-",
    "time to first token p50": lambda record: milliseconds(first_tokens(record), 50),
    "time to first token p99": lambda record: milliseconds(first_tokens(record), 99),
    "time between tokens p99": lambda record: milliseconds(gaps(record), 99),
    "CPU s a request": lambda record: f"{record['cpu_seconds'] / max(1, len(good(record))):.3f}",
    "peak memory": lambda record: f"{record['peak_bytes'] / 2**20:.0f} MiB",
}
CONCURRENCIES = (1, 4, 16, 64)
"""Concurrencies that ``bench`` measures by default."""
NAMES = {
    "service": "this service",
    "vllm": "vLLM's BLIP-2",
    "original": "the original's way",
    "bare": "bare engine",
}


def good(record: Record) -> list[Record]:
    """Return the samples with an answer."""
    return [s for s in record["samples"] if s["status"] == 200 and s["first_token"] > 0]


def rate(record: Record) -> float:
    """Return the answers a second."""
    return len(good(record)) / float(record["seconds"])


def tokens_rate(record: Record) -> float:
    """Return the answers' tokens a second; 0 if the server did not count them."""
    return sum(sample.get("tokens", 0) for sample in good(record)) / float(record["seconds"])


def wavering(record: Record) -> str:
    """Return the slowest and the fastest turn in requests/s."""
    rates = record.get("rates")
    return f"{min(rates):.1f} to {max(rates):.1f}" if rates else "-"


def first_tokens(record: Record) -> list[float]:
    """Return the seconds to the first token of each answer."""
    return [sample["first_token"] for sample in good(record)]


def gaps(record: Record) -> list[float]:
    """Return the seconds between tokens of all answers."""
    return [gap for sample in good(record) for gap in sample["gaps"]]


def milliseconds(values: list[float], percent: float) -> str:
    """Format a percentile for a table."""
    return f"{np.percentile(values, percent) * 1000:.0f} ms" if values else "-"


def load(folder: Path) -> dict[tuple[str, str, int], Record]:
    """Read the closed-loop records by system, workload and concurrency."""
    records = {}
    for file in folder.glob("*-*-*.json"):
        record = json.loads(file.read_text())
        records[record["system"], record["workload"], record["concurrency"]] = record
    return records


def table(records: dict[tuple[str, str, int], Record], workload: str) -> str:
    """Write the table of one workload, with a column for each system."""
    systems = [name for name in NAMES if any(key[:2] == (name, workload) for key in records)]
    levels = sorted({key[2] for key in records if key[1] == workload})
    lines = [
        f"| {workload} | at a time | {' | '.join(NAMES[name] for name in systems)} |",
        f"| --- | --- | {' | '.join('---' for _ in systems)} |",
    ]
    for title, value in ROWS.items():
        for level in levels:
            cells = [
                value(records[name, workload, level]) if (name, workload, level) in records else "-"
                for name in systems
            ]
            if any(cell != "-" for cell in cells):
                lines.append(f"| {title} | {level} | {' | '.join(cells)} |")
    return "\n".join(lines)


VERDICTS = ("| target | measured | |", "| --- | --- | --- |")
"""Head of a table of :func:`verdict` lines."""


def verdict(name: str, measured: float, aim: float, at_least: bool = True) -> str:
    """Write the line of a target: the target, the measured value, and whether the target is met."""
    met = measured >= aim if at_least else measured <= aim
    sign = "≥" if at_least else "≤"
    return f"| {name} {sign} {aim:g} | {measured:.2f} | {'met' if met else 'missed'} |"


def targets(folder: Path) -> str:
    """Write the lines of all targets."""
    records = load(folder)
    lines = [*VERDICTS]

    def judge(name: str, measured: float, aim: float, at_least: bool = True) -> None:
        lines.append(verdict(name, measured, aim, at_least))

    for workload, aim in (("unique", 1.2), ("seen", 1.5)):
        for level in sorted({key[2] for key in records}):
            pair = [records.get((name, workload, level)) for name in ("service", "vllm")]
            if all(pair):
                ratio = rate(pair[0]) / rate(pair[1])  # type: ignore[arg-type]
                judge(f"requests/s over vLLM's BLIP-2, {workload}, {level} at a time", ratio, aim)
    pair = [records.get((name, "unique", 16)) for name in ("service", "original")]
    if all(pair):
        judge("requests/s over the original's way, unique, 16", rate(pair[0]) / rate(pair[1]), 8)  # type: ignore[arg-type]
    pair = [records.get(("service", name, 1)) for name in ("seen", "unique")]
    if all(pair):
        later, first = (float(np.median(first_tokens(record))) for record in pair)  # type: ignore[arg-type]
        judge("first token, follow-up turn over first turn", later / first, 0.5, at_least=False)
    _overload(folder, judge)
    return "\n".join(lines)


def _overload(folder: Path, judge: Any) -> None:
    files = [folder / f"overload-{factor}.json" for factor in (1.0, 3.0)]
    if not all(file.exists() for file in files):
        return
    full, over = (json.loads(file.read_text()) for file in files)
    p99 = [np.percentile([s["seconds"] for s in good(record)], 99) for record in (full, over)]
    judge("p99 of admitted, 3 x saturation over saturation", p99[1] / p99[0], 2, at_least=False)
    refused = [s["seconds"] for s in over["samples"] if s["status"] == 503]
    other = [s for s in over["samples"] if s["status"] not in (200, 503)]
    if refused:
        judge("p99 of refusals at 3 x, seconds", float(np.percentile(refused, 99)), 0.1, False)
    judge("requests at 3 x neither answered nor refused", len(other), 0, False)


def write(folder: Path) -> None:
    """Write ``report.md`` and ``bench.png`` beside the raw records, and print the tables."""
    records = load(folder)
    parts = [table(records, name) for name in sorted({key[1] for key in records})]
    text = "\n\n".join([*parts, targets(folder)]) + "\n"
    (folder / "report.md").write_text(text)
    print(text)
    if find_spec("matplotlib"):
        plot(records, folder / "bench.png")
    else:  # matplotlib is an optional dependency; the raw records can be plotted elsewhere
        print("No plot: matplotlib is not installed.")


PLOTS: dict[str, dict[str, Callable[[Record], float]]] = {
    "requests/s": {"o-": lambda record: rate(record)},
    "first token, s\n(p50; dotted p99)": {
        "o-": lambda record: float(np.percentile(first_tokens(record), 50)),
        "o:": lambda record: float(np.percentile(first_tokens(record), 99)),
    },
    "between tokens, p99, s": {"o-": lambda record: float(np.percentile(gaps(record), 99))},
    "CPU s a request": {"o-": lambda record: record["cpu_seconds"] / max(1, len(good(record)))},
    "peak memory, GiB": {"o-": lambda record: record["peak_bytes"] / 2**30},
}
"""Rows of the plot: the label of the axis, and the lines of each system by line style."""


def plot(records: dict[tuple[str, str, int], Record], file: Path) -> None:
    """Draw :data:`PLOTS` over concurrency, with a column for each workload."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    workloads = [name for name in ("unique", "seen") if any(key[1] == name for key in records)]
    ticks = sorted({key[2] for key in records if key[1] in workloads})
    size = (len(PLOTS), max(1, len(workloads)))
    figure, axes = plt.subplots(*size, figsize=(9, 2.4 * len(PLOTS)), squeeze=False)
    for column, workload in enumerate(workloads):
        axes[0][column].set_title(f"{workload} images")
        axes[-1][column].set_xlabel("requests at a time")
        for axis, (title, lines) in zip(axes[:, column], PLOTS.items(), strict=True):
            for number, system in enumerate(NAMES):
                levels = sorted(key[2] for key in records if key[:2] == (system, workload))
                for style, value in lines.items():
                    values = [value(records[system, workload, level]) for level in levels]
                    axis.plot(levels, values, style, color=f"C{number}")
            axis.set(xscale="log", ylabel=title if column == 0 else "")
            if title.startswith("first token"):
                axis.set_yscale("log")  # from milliseconds to many seconds
            else:
                axis.set_ylim(bottom=0)
            axis.set_xticks(ticks, [str(level) for level in ticks])
            axis.xaxis.minorticks_off()
    shown = [
        name for name in NAMES if any(key[0] == name and key[1] in workloads for key in records)
    ]
    handles = [
        Line2D([], [], marker="o", color=f"C{list(NAMES).index(name)}", label=NAMES[name])
        for name in shown
    ]
    if handles:
        axes[0][0].legend(handles=handles, fontsize="small")
    figure.tight_layout()
    figure.savefig(file, dpi=80)
    plt.close(figure)


if __name__ == "__main__":
    write(Path("results/bench"))
