"""A request body that makes one of vLLM's validators fail is answered with 400 instead of 500.

vLLM's validators look into a body before its types are checked, and raise AttributeError or TypeError for, say,
a number where they expect an object.

Replaces: the ``validate`` method of each route's body field (FastAPI's ``ModelField``).
Why no hook: FastAPI catches only ``ValidationError`` there; an exception handler cannot tell such an
AttributeError from a bug in the handler itself.
Test: ``tests/vllm_patches/test_body_validation.py``.
Upstream: "before" validators of ``ChatCompletionRequest`` and others that check types before they index.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fastapi import FastAPI
from fastapi.routing import APIRoute
from vllm.exceptions import VLLMError

from service.errors import RequestError

P = ParamSpec("P")
R = TypeVar("R")


def refuse_broken_bodies(app: FastAPI) -> None:
    """Wrap the body validation of all routes of ``app``."""
    for route in app.routes:
        for body in route.dependant.body_params if isinstance(route, APIRoute) else ():
            body.validate = raise_request_error(body.validate)  # type: ignore[method-assign]


def raise_request_error(validate: Callable[P, R]) -> Callable[P, R]:
    """``validate`` of a body, raising :class:`RequestError` where it fails itself."""

    @functools.wraps(validate)
    def validate_or_refuse(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return validate(*args, **kwargs)
        except (VLLMError, ValueError):
            raise
        except Exception as error:
            raise RequestError(
                "The body does not have the form that this route expects."
            ) from error

    return validate_or_refuse
