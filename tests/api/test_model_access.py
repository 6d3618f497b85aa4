"""Keys that are bound to models."""

from collections.abc import Iterator
from typing import Any

import pytest

from service.api.model_access import ModelAccess
from service.errors import ForbiddenError
from service.request_context import RequestContext, current_request, enter_request, leave_request
from service.usage.amounts import NO_LIMITS, KeyLimits


@pytest.fixture(autouse=True)
def alice() -> Iterator[None]:
    limits = KeyLimits(models=frozenset({"m"}))
    token = enter_request(RequestContext(tenant="alice", limits=limits))
    yield
    leave_request(token)


def prepare(body: Any) -> Any:
    return ModelAccess("m").before(lambda path, body: (path, body))("/v1/completions", body)


@pytest.mark.parametrize("body", [{}, {"model": "m"}, {"model": None}, {"model": ""}, [], "text"])
def test_a_body_with_an_allowed_model_goes_on(body: Any) -> None:
    assert prepare(body) == ("/v1/completions", body)


@pytest.mark.parametrize("model", ["n", 7, ["m"]])
def test_another_model_is_refused(model: Any) -> None:
    with pytest.raises(ForbiddenError):
        prepare({"model": model})
    current_request().limits = NO_LIMITS
    prepare({"model": model})
