"""Figures of several models as one Markdown table and one plot."""

import sys
from collections.abc import Sequence
from pathlib import Path

from service.charts import MISSING, can_draw, draw_bars
from service.evaluation.questions import KINDS
from service.evaluation.results import SceneResults


def format_table(results: Sequence[SceneResults]) -> str:
    """Format a Markdown table: a column for each model and set, a row for each share in percent."""
    heads = [result.heading for result in results]
    rows = [["", *heads], ["---"] * (len(results) + 1)]
    for kind in KINDS:
        if any(kind in result.accuracy for result in results):
            name = "yes/no (is there a ...)" if kind == "exists" else kind
            rows.append([name, *(_percent(result.accuracy.get(kind)) for result in results)])
    rows.append(["answers yes (50 is unbiased)", *(_percent(r.yes_share) for r in results)])
    rows.append(["hallucinated objects", *(_percent(r.hallucinated) for r in results)])
    rows.append(["missed objects", *(_percent(r.missed) for r in results)])
    for kind, name in (("describe", "descriptions"), ("poem", "poems")):
        for reason in ("any", "repeated", "fragment", "unfinished"):
            label = f"failed {name}" if reason == "any" else f"... {reason}"
            shares = [result.failures.get(kind, {}).get(reason) for result in results]
            rows.append([label, *(_percent(share) for share in shares)])
    rows.append(["requests without an answer", *(str(result.errors) for result in results)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def draw_report(results: Sequence[SceneResults]) -> bytes:
    """Draw accuracy by kind and the shares of errors as grouped horizontal bars; PNG bytes."""
    labels = [result.heading for result in results]
    return draw_bars("Right answers and errors", labels, _group_shares(results))


def _group_shares(results: Sequence[SceneResults]) -> dict[str, list[float | None]]:
    """Return each model's share by the name of the figure; None if it was not asked."""
    groups = {
        kind: [result.accuracy.get(kind) for result in results]
        for kind in KINDS
        if any(kind in result.accuracy for result in results)
    }
    if any("describe" in result.questions for result in results):
        groups["hallucinated (fewer: better)"] = [result.hallucinated for result in results]
        groups["missed (fewer: better)"] = [result.missed for result in results]
        groups["failed descriptions"] = [
            result.failures.get("describe", {}).get("any") for result in results
        ]
    return groups


def write_report(results: Sequence[SceneResults], folder: Path) -> None:
    """Write ``evaluation-table.md`` and, with matplotlib, ``evaluation.png``; create the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation-table.md").write_text(format_table(results))
    if can_draw():
        (folder / "evaluation.png").write_bytes(draw_report(results))
    else:
        print(MISSING, file=sys.stderr)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"
