"""The results of the advanced tasks: fulfilled requests, and agreement between judges."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from service.experiments.agreement import Agreement
from service.measurement.intervals import Score
from service.measurement.report import markdown_table, plot_scores, score_row


@dataclass
class Found:
    """What the verdicts say.

    Attributes:
        scores: The share of fulfilled requests by judge, system and task.
        agreements: Of each pair of judges.
    """

    scores: list[Score]
    agreements: list[Agreement]
    bad: dict[str, str]


def write_found(found: Found, out: Path) -> None:
    """Write ``results.md``, ``results.json`` and, if anybody has judged, a plot."""
    heads = ("judge, system, task", "requests fulfilled", "95 % interval", "answers")
    lines = markdown_table(heads, [score_row(one) for one in found.scores])
    if not found.scores:
        lines = ["Nobody has judged yet. Open sheet.html, or give --judge."]
    if found.agreements:
        rows = [_agreement_row(one) for one in found.agreements]
        heads = ("judges", "Cohen's kappa", "equal verdicts", "answers")
        lines += ["", *markdown_table(heads, rows)]
    lines += ["", *(f"- {name}: {why}" for name, why in found.bad.items())]
    (out / "results.md").write_text("\n".join(lines).rstrip() + "\n", "utf-8")
    (out / "results.json").write_text(json.dumps(asdict(found), indent=2) + "\n", "utf-8")
    if found.scores:
        plot_scores(found.scores, "Requests fulfilled", out / "results.png")


def _agreement_row(one: Agreement) -> list[str]:
    kappa = "undefined: both always say the same"
    if one.kappa:
        kappa = f"{one.kappa.value:.2f} ({one.kappa.low:.2f} to {one.kappa.high:.2f})"
    return [f"{one.one} and {one.other}", kappa, f"{100 * one.equal:.1f} %", str(one.number)]
