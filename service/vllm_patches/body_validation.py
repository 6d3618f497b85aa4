"""Runs our code before and after vLLM's validation of a request body.

Before the validation, content parts in the forms of other APIs become forms that vLLM reads. After
it, limits are adapted. If one of vLLM's validators fails, the client gets a 400 instead of a 500:
these validators read a body before its types are checked, and raise AttributeError or TypeError,
for example for a number instead of an object.

Replaces: the ``validate`` method of each route's body field (FastAPI's ``ModelField``).

Why no hook: vLLM's routers bind their request classes when they are imported. A middleware would
parse and write the whole body a second time. An exception handler cannot distinguish a validator's
AttributeError from a bug.

Test: ``tests/vllm_patches/test_body_validation.py``.

Upstream: "before" validators of ``ChatCompletionRequest`` and others that check types before they
index; the forms of an image part that OpenAI's and Anthropic's clients send.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from vllm.exceptions import VLLMError

from service.errors import RequestError, ServiceError

Prepare = Callable[[str, Any], Any]
"""Takes a route's path and the parsed JSON; returns the JSON to validate."""

Finish = Callable[[Any], None]
"""Changes a validated request in place."""


def wrap_validation(app: FastAPI, prepare: Prepare, finish: Finish) -> None:
    """Wrap the validation of all bodies of ``app``.

    To refuse a request, ``prepare`` or ``finish`` raises :class:`ServiceError`.
    """
    for route in app.routes:
        if isinstance(route, APIRoute):
            for body in route.dependant.body_params:
                wrapped = _wrap(body.validate, route.path, prepare, finish)
                body.validate = wrapped  # type: ignore[method-assign]


def _wrap(
    validate: Callable[..., Any], path: str, prepare: Prepare, finish: Finish
) -> Callable[..., Any]:
    def validate_wrapped(value: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            request, errors = validate(prepare(path, value), *args, **kwargs)
        except (VLLMError, ValueError, ServiceError):
            raise
        except Exception as error:
            raise RequestError(
                "The body does not have the form that this route expects."
            ) from error
        if not errors:
            finish(request)
        return request, errors

    return validate_wrapped
