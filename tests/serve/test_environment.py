"""The environment that the engine process inherits."""

from argparse import Namespace

import pytest
from vllm.platforms import current_platform

from service.serve.environment import DYNAMO_SWITCH, disable_compilation

CPU = pytest.mark.skipif(not current_platform.is_cpu(), reason="on a GPU graphs are compiled")


@CPU
@pytest.mark.parametrize(
    ("eager", "given", "expected", "warned"),
    [
        (True, None, "1", False),
        (True, "0", "0", True),
        (False, None, None, True),
        (False, "1", "1", False),
    ],
)
def test_nothing_is_compiled_at_first_use_unless_someone_asks_for_it(
    eager: bool,
    given: str | None,
    expected: str | None,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = {} if given is None else {DYNAMO_SWITCH: given}
    monkeypatch.setattr("os.environ", environment)
    warning = disable_compilation(Namespace(enforce_eager=eager))
    assert environment.get(DYNAMO_SWITCH) == expected
    assert (warning is not None) == warned
