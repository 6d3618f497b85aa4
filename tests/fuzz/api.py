"""Send valid and invalid requests, generated from the OpenAPI schema, and count the results.

``python -m tests.fuzz.api URL`` fuzzes a running service for long and prints the figures as JSON.
The tests send fewer requests.
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
"""Statuses of 500 and above that are not defects: refusals because of overload."""

FEW_TOKENS = 4
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens")


@dataclass
class Outcome:
    """The results of the requests of one operation.

    Attributes:
        statuses: Requests by status.
        failures: The first requests with an unintended 5xx or without an answer.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def note(self, case: AnyCase, status: str, answer: str) -> None:
        """Count a request, and store it if its result is a failure."""
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
    """Return all operations of the service's OpenAPI schema."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    return [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]


def fuzz(operation: AnyOperation, examples: int) -> Outcome:
    """Send ``examples`` valid requests of an operation, and as many invalid ones."""
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

        with suppress(Unsatisfiable):  # all requests of the operation are valid, or none is
            send()
    return outcome


def _shorten(case: AnyCase) -> None:
    """Lower the number of tokens: the tests are about requests.

    Lengths out of range stay unchanged.
    """
    body: Any = case.body
    if not isinstance(body, dict) or not {"messages", "input", "prompt"} & body.keys():
        return
    named = [name for name in LENGTHS if isinstance(body.get(name), int)]
    for name in named:
        body[name] = min(body[name], FEW_TOKENS)
    if not named:
        body["max_output_tokens" if "input" in body else "max_tokens"] = FEW_TOKENS


def main() -> None:
    """Fuzz all operations; exit with 1 after a failure."""
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
