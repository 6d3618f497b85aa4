"""Requests made from the service's own OpenAPI schema, valid and not, and what came of them.

``python -m tests.fuzz.api URL`` fuzzes a running service at length and prints the figures as JSON; the
tests do the same for less long.
"""

import argparse
import json
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.result import Ok

AnyCase = Case[Any]
AnyOperation = APIOperation[Any, Any, Any, Any]

TIMEOUT = 60
"""Seconds without an answer that count as a hang."""

INTENDED = frozenset({503})
"""Statuses of 500 and above that are no defect: refusals for load."""

FEW_TOKENS = 4
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens")


@dataclass
class Outcome:
    """What came of the requests of one operation.

    Attributes:
        statuses: Requests by status.
        failures: The first requests that got an unintended 5xx, or nothing at all.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def note(self, case: AnyCase, status: str, answer: str) -> None:
        """Count one request; keep it where it should not have ended so."""
        self.statuses[status] += 1
        if status == "none" or (status >= "500" and int(status) not in INTENDED):
            self.failures.append(
                {
                    "request": f"{case.method} {case.formatted_path}",
                    "query": repr(case.query),
                    "body": repr(case.body)[:2000],
                    "status": status,
                    "answer": answer[:500],
                }
            )


def operations(url: str) -> list[AnyOperation]:
    """Everything that the service says it offers."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    return [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]


def fuzz(operation: AnyOperation, examples: int) -> Outcome:
    """Send ``examples`` valid requests of an operation and as many that are not."""
    outcome = Outcome()
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: AnyCase) -> None:
            _shorten(case)
            try:
                answer = case.call(timeout=TIMEOUT)
            except requests.RequestException as error:
                outcome.note(case, "none", repr(error))
            else:
                outcome.note(case, str(answer.status_code), answer.text)

        with suppress(Unsatisfiable):  # an operation of which every request is valid, or none
            send()
    return outcome


def _shorten(case: AnyCase) -> None:
    """Few tokens an answer: the fuzzing is about requests. Lengths out of range stay as they are."""
    body: Any = case.body
    if not isinstance(body, dict) or not {"messages", "input", "prompt"} & body.keys():
        return
    named = [name for name in LENGTHS if isinstance(body.get(name), int)]
    for name in named:
        body[name] = min(body[name], FEW_TOKENS)
    if not named:
        body["max_output_tokens" if "input" in body else "max_tokens"] = FEW_TOKENS


def main() -> None:
    """Fuzz every operation; exit status 1 where a request should not have ended as it did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--examples", type=int, default=100, help="an operation and mode")
    parser.add_argument("--only", default="", help="operations whose path contains this")
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    failures = []
    for operation in operations(arguments.url):
        if arguments.only not in operation.path:
            continue
        outcome = fuzz(operation, arguments.examples)
        total += outcome.statuses
        failures += outcome.failures
        print(operation.label, dict(outcome.statuses), file=sys.stderr, flush=True)
    print(
        json.dumps({"requests": total.total(), "statuses": total, "failures": failures}, indent=1)
    )
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
