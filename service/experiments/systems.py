"""The systems that an experiment compares: any OpenAI-compatible services."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.chat_client import Endpoint
from service.errors import EvaluationError
from service.measurement.answers import AnswerFile
from service.measurement.asking import Asked, ask_all, find_model
from service.measurement.questions import Question, Sampling

_SYSTEM = re.compile(r"(?P<label>[\w.+-]+)=(?P<url>https?://[^#]+)(?:#(?P<model>.+))?")


@dataclass(frozen=True)
class System:
    """A service under test.

    Attributes:
        label: Its name in files and reports.
    """

    label: str
    endpoint: Endpoint


def parse_system(text: str, api_key: str, option: str = "--system") -> System:
    """Read ``LABEL=URL`` or ``LABEL=URL#MODEL``.

    Raises:
        EvaluationError: the text has another form.
    """
    found = _SYSTEM.fullmatch(text)
    if found is None:
        raise EvaluationError(f"{option} {text}: the form is LABEL=URL or LABEL=URL#MODEL.")
    return System(found["label"], Endpoint(found["url"], found["model"] or "", api_key))


@dataclass(frozen=True)
class Asking:
    """How systems and judges are asked."""

    out: Path
    concurrency: int = 8


def ask_system(
    asking: Asking,
    system: System,
    name: str,
    questions: Sequence[Question],
    sampling: Sampling,
) -> Asked:
    """Ask one system and keep its answers in ``NAME-LABEL.jsonl``; a second run asks only the rest.

    Raises:
        EvaluationError: the service fails, or the file has answers of another run.
    """
    model = find_model(system.endpoint)
    settings = {
        "run": name,
        "model": model,
        "longest": sampling.longest,
        "temperature": sampling.temperature,
        "seed": sampling.seed,
    }
    endpoint = Endpoint(system.endpoint.url, model, system.endpoint.api_key)
    with AnswerFile(asking.out / f"{name}-{system.label}.jsonl", settings) as file:
        return ask_all(endpoint, questions, file, sampling, asking.concurrency)
