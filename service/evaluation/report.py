"""Figures of several models as one Markdown table and one plot."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from service.evaluation.questions import KINDS
from service.evaluation.results import SceneResults

_ROW, _LABEL, _BAR, _SCALE = 16, 170, 420, 2
_COLOURS = ("#1f5fbf", "#d9622b", "#2f8f4e", "#8a4fbf", "#b8992e", "#c23b5a")


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


def bars(results: Sequence[SceneResults]) -> bytes:
    """Accuracy by kind and the shares of errors as horizontal bars, grouped by figure; PNG bytes."""
    groups = _plotted(results)
    group = _ROW * len(results) + 10
    height = 40 + _ROW * len(results) + group * len(groups)
    width = _LABEL + _BAR + 80
    canvas = Image.new("RGB", (width * _SCALE, height * _SCALE), "white")
    draw = ImageDraw.Draw(canvas)
    font, top = ImageFont.load_default(11 * _SCALE), 10
    for number, result in enumerate(results):
        colour = _COLOURS[number % len(_COLOURS)]
        _rectangle(draw, _LABEL, top + 3, _LABEL + 20, top + _ROW - 3, colour)
        draw.text(((_LABEL + 28) * _SCALE, top * _SCALE), result.heading, "#222222", font)
        top += _ROW
    top += 16
    for name, shares in groups.items():
        draw.text((10 * _SCALE, top * _SCALE), name, "#222222", font)
        for number, share in enumerate(shares):
            colour, length = _COLOURS[number % len(_COLOURS)], _BAR * (share or 0)
            if share is not None:
                _rectangle(draw, _LABEL, top + 2, _LABEL + max(length, 1), top + _ROW - 2, colour)
            place = ((_LABEL + length + 6) * _SCALE, top * _SCALE)
            draw.text(place, _percent(share) or "not asked", "#555555", font)
            top += _ROW
        top += 10
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _plotted(results: Sequence[SceneResults]) -> dict[str, list[float | None]]:
    """The plot's groups: a figure's name and each model's share, None where it was not asked."""
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
    """Write ``evaluation-table.md`` and ``evaluation.png`` into ``folder`` (created)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation-table.md").write_text(format_table(results))
    (folder / "evaluation.png").write_bytes(bars(results))


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _rectangle(
    draw: ImageDraw.ImageDraw, left: float, top: float, right: float, bottom: float, colour: str
) -> None:
    draw.rectangle(tuple(edge * _SCALE for edge in (left, top, right, bottom)), colour)
