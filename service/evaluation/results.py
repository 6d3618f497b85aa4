"""The results of one model on one test set: shares of correct answers and of failed texts."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from service.errors import EvaluationError
from service.evaluation.answer_check import find_yes_or_no, is_correct
from service.evaluation.asking import Answer
from service.evaluation.description_check import check_description
from service.evaluation.questions import Question

FREE_TEXT = ("describe", "poem")
_EXAMPLES = 5


@dataclass
class SceneResults:
    """Shares are between 0 and 1, and None if no such question was asked.

    The field names are those of the JSON file.

    Attributes:
        label: Name of the model in the report.
        test_set: ``held-out`` or ``shifted``.
        questions: Number of questions by kind.
        accuracy: Share of correct answers by kind.
        yes_share: Share of ``exists`` questions answered yes; 0.5 is unbiased.
        hallucinated: Share of the objects named in descriptions that are not in the scene (as in
            CHAIR).
        missed: Share of the objects in the scenes that descriptions do not name.
        failures: Share of failed descriptions and poems by reason; ``any`` is the failure rate.
        errors: Number of requests without an answer; these count as wrong.
        wrong: Some wrong answers of each kind, for people to read.
        turns_before: Number of other questions before each question in its conversation.
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
        """The column's head in a report."""
        turns = f", after {self.turns_before} turns" if self.turns_before else ""
        sampling = f", temperature {self.temperature:g}" if self.temperature else ""
        return f"{self.label}, {self.test_set}{turns}{sampling}"

    def add(self, kind: str, questions: Sequence[Question], answers: Sequence[Answer]) -> None:
        """Check the answers to the questions of one kind and add their shares."""
        if len(questions) != len(answers):
            raise AssertionError(f"bug: {len(questions)} questions, {len(answers)} answers")
        self.questions[kind] = len(questions)
        self.errors += sum(bool(answer.error) for answer in answers)
        if kind in FREE_TEXT:
            self._add_texts(kind, questions, answers)
            return
        pairs = list(zip(questions, answers, strict=True))
        correct = [is_correct(question.turn, answer.text) for question, answer in pairs]
        self.accuracy[kind] = sum(correct) / len(correct)
        self.wrong[kind] = [
            _describe_wrong_answer(question, answer)
            for (question, answer), is_good in zip(pairs, correct, strict=True)
            if not is_good
        ][:_EXAMPLES]
        if kind == "exists":
            said = [find_yes_or_no(answer.text) for answer in answers]
            self.yes_share = said.count("yes") / len(said)

    def _add_texts(
        self, kind: str, questions: Sequence[Question], answers: Sequence[Answer]
    ) -> None:
        verdicts = [
            check_description(
                question.scenes[0], answer.text, truncated=answer.truncated, poem=kind == "poem"
            )
            for question, answer in zip(questions, answers, strict=True)
        ]
        number = len(verdicts)
        self.failures[kind] = {
            "repeated": sum(verdict.repeated for verdict in verdicts) / number,
            "fragment": sum(verdict.fragment for verdict in verdicts) / number,
            "unfinished": sum(verdict.unfinished for verdict in verdicts) / number,
            "any": sum(verdict.failed for verdict in verdicts) / number,
        }
        self.wrong[kind] = [
            answer.text
            for answer, verdict in zip(answers, verdicts, strict=True)
            if verdict.failed or verdict.hallucinated
        ][:_EXAMPLES]
        if kind == "describe":
            mentioned = sum(verdict.mentioned for verdict in verdicts)
            in_scenes = sum(len(question.scenes[0].objects) for question in questions)
            hallucinated = sum(verdict.hallucinated for verdict in verdicts)
            self.hallucinated = hallucinated / max(mentioned, 1)
            self.missed = sum(verdict.missed for verdict in verdicts) / in_scenes

    def save(self, file: Path) -> None:
        """Write as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, file: Path) -> "SceneResults":
        """Read a file that :meth:`save` wrote; raises :class:`EvaluationError`."""
        try:
            return cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise EvaluationError(f"{file} does not hold results of `evaluate`: {error}") from error


def _describe_wrong_answer(question: Question, answer: Answer) -> str:
    turn = question.turn
    given, expected = answer.text or answer.error, turn.expected or turn.answer
    return f"{turn.question} -> {given} (expected: {expected})"
