"""A judge: an OpenAI-compatible service that answers yes or no, with or without the image."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.experiments.systems import Asking, System, ask_system
from service.measurement.asking import Asked
from service.measurement.questions import Question, Sampling

_LONGEST = 64
_YES_NO = re.compile(r"\b(yes|no)\b")


@dataclass(frozen=True)
class Case:
    """What a judge reads.

    Attributes:
        id: Unique in its run.
        image: What it sees; None for a question about texts.
    """

    id: str
    text: str
    image: Path | None = None


def ask_judge(
    asking: Asking, judge: System, name: str, cases: Sequence[Case]
) -> tuple[dict[str, str], Asked]:
    """The judge's answers by case, decoded greedily, and the whole run with its bad items.

    Raises:
        EvaluationError: the judge's service fails.
    """
    questions = [Question(case.id, case.text, case.image) for case in cases]
    asked = ask_system(asking, judge, name, questions, Sampling(_LONGEST))
    return {name: answer.text for name, answer in asked.answers.items()}, asked


def read_yes_no(answer: str) -> bool | None:
    """The first yes or no of an answer; None if it has neither."""
    found = _YES_NO.search(answer.lower())
    return found.group(1) == "yes" if found else None


def read_numbered(answer: str, number: int) -> list[bool | None]:
    """Answers in the form ``1: yes``, one a line; None for each one that is not there."""
    lines = re.findall(r"(\d+)\s*[:.)]\s*\(?(yes|no)\b", answer.lower())
    said = {int(at): word == "yes" for at, word in lines}
    return [said.get(at) for at in range(1, number + 1)]
