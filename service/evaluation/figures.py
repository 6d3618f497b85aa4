"""Verdicts to figures: what one evaluation of one model on one test set found."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from service.errors import EvaluationError
from service.evaluation.client import Answer
from service.evaluation.judge import DescriptionVerdict, is_right, judge_text, said_yes_or_no
from service.evaluation.questions import Question

FREE_TEXT = ("describe", "poem")
_EXAMPLES = 5


@dataclass
class Figures:
    """Shares are between 0 and 1, and None where nobody asked.

    Attributes:
        label: Name of the model in the report.
        test_set: ``held-out`` or ``shifted``.
        questions: Questions of each kind.
        accuracy: Share of right answers by kind.
        yes_share: How often ``exists`` questions were answered yes; half of them should be.
        hallucinated: Of the objects that descriptions name, the share that is not there (CHAIR-style).
        missed: Of the objects there, the share that descriptions do not name.
        failures: Share of failed descriptions and poems, by reason; ``any`` is the failure rate.
        errors: Requests without an answer; they count as wrong.
        wrong: Some wrong answers of each kind, for a person to look at.
        turns_before: Other questions that came first in each question's conversation.
        temperature: Of sampling; 0 is greedy decoding.
    """

    label: str
    test_set: str
    questions: dict[str, int] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)
    yes_share: float | None = None
    hallucinated: float | None = None
    missed: float | None = None
    failures: dict[str, dict[str, float]] = field(default_factory=dict)
    errors: int = 0
    wrong: dict[str, list[str]] = field(default_factory=dict)
    turns_before: int = 0
    temperature: float = 0.0

    @property
    def heading(self) -> str:
        """What a report calls these figures."""
        asked = f", after {self.turns_before} turns" if self.turns_before else ""
        sampled = f", temperature {self.temperature:g}" if self.temperature else ""
        return f"{self.label}, {self.test_set}{asked}{sampled}"

    def save(self, file: Path) -> None:
        """Write as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, file: Path) -> "Figures":
        """Read what :meth:`save` wrote; raises :class:`EvaluationError`."""
        try:
            return cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise EvaluationError(f"{file} holds no figures of `evaluate`: {error}") from error


def measure(
    figures: Figures, kind: str, items: Sequence[Question], answers: Sequence[Answer]
) -> None:
    """Add the answers to one kind's questions."""
    if len(items) != len(answers):
        raise ValueError(f"bug: {len(items)} questions, {len(answers)} answers")
    figures.questions[kind] = len(items)
    figures.errors += sum(bool(answer.error) for answer in answers)
    if kind in FREE_TEXT:
        _measure_texts(figures, kind, items, answers)
        return
    right = [is_right(item.turn, answer.text) for item, answer in zip(items, answers, strict=True)]
    figures.accuracy[kind] = sum(right) / len(right)
    figures.wrong[kind] = [
        f"{item.turn.question} -> {answer.text or answer.error} (expected: {item.turn.expected or item.turn.answer})"
        for item, answer, good in zip(items, answers, right, strict=True)
        if not good
    ][:_EXAMPLES]
    if kind == "exists":
        said = [said_yes_or_no(answer.text) for answer in answers]
        figures.yes_share = said.count("yes") / len(said)


def _measure_texts(
    figures: Figures, kind: str, items: Sequence[Question], answers: Sequence[Answer]
) -> None:
    verdicts: list[DescriptionVerdict] = [
        judge_text(item.scenes[0], answer.text, cut=answer.cut, poem=kind == "poem")
        for item, answer in zip(items, answers, strict=True)
    ]
    number = len(verdicts)
    figures.failures[kind] = {
        "repeated": sum(verdict.repeated for verdict in verdicts) / number,
        "fragment": sum(verdict.fragment for verdict in verdicts) / number,
        "unfinished": sum(verdict.unfinished for verdict in verdicts) / number,
        "any": sum(verdict.failed for verdict in verdicts) / number,
    }
    figures.wrong[kind] = [
        answer.text
        for answer, verdict in zip(answers, verdicts, strict=True)
        if verdict.failed or verdict.hallucinated
    ][:_EXAMPLES]
    if kind == "describe":
        mentioned = sum(verdict.mentioned for verdict in verdicts)
        there = sum(len(item.scenes[0].objects) for item in items)
        figures.hallucinated = sum(verdict.hallucinated for verdict in verdicts) / max(mentioned, 1)
        figures.missed = sum(verdict.missed for verdict in verdicts) / there
