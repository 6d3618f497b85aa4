"""What clients do wrong is not logged as the service's error; what the service does wrong is."""

import logging
from http import HTTPStatus

import pytest
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.exceptions import QueueOverflowError, VLLMNotFoundError, VLLMServerError
from vllm.v1.engine.exceptions import EngineDeadError

from service.plugin.errors import BadRequestError
from service.vllm_patches.log_filter import ClientErrorFilter, filter_client_errors

CLIENTS = [BadRequestError("no"), VLLMNotFoundError("no such model"), QueueOverflowError()]
OURS = [VLLMServerError("broken"), EngineDeadError(), RuntimeError("a bug"), ValueError("a bug")]


def passes(error: Exception | None, *arguments: object) -> bool:
    info = (type(error), error, None) if error else None
    record = logging.LogRecord("vllm.x", logging.ERROR, "", 0, "%s", arguments, info)
    return ClientErrorFilter().filter(record)


@pytest.mark.parametrize("error", CLIENTS, ids=repr)
def test_a_clients_mistake_is_left_out(error: Exception) -> None:
    assert not passes(error)
    assert not passes(None, error)


@pytest.mark.parametrize("error", OURS, ids=repr)
def test_ours_is_logged(error: Exception) -> None:
    assert passes(error)


def test_an_answer_decides_by_its_status() -> None:
    def told(status: HTTPStatus) -> bool:
        return passes(None, create_error_response("text", "Error", status))

    assert not told(HTTPStatus.NOT_FOUND)
    assert told(HTTPStatus.INTERNAL_SERVER_ERROR)
    assert passes(None, "any text")


def test_it_is_set_once(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.NullHandler()
    monkeypatch.setattr(logging.getLogger("vllm"), "handlers", [handler])
    filter_client_errors()
    filter_client_errors()
    assert len(handler.filters) == 1
