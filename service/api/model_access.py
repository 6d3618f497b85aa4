"""Which models an API key may use."""

from typing import Any

from service.errors import ForbiddenError
from service.request_context import current_request
from service.vllm_patches.body_validation import Prepare


class ModelAccess:
    """Refuses a body with a model that the request's API key may not use."""

    def __init__(self, default: str) -> None:
        """``default`` is the model that answers requests without a name."""
        self._default = default

    def before(self, prepare: Prepare) -> Prepare:
        """``prepare``, after the check; that raises :class:`ForbiddenError`."""

        def check_and_prepare(path: str, body: Any) -> Any:
            if isinstance(body, dict):
                self._check(str(body.get("model") or self._default))
            return prepare(path, body)

        return check_and_prepare

    def _check(self, name: str) -> None:
        if not may_use(name):
            raise ForbiddenError(f"This API key may not use the model `{name[:100]}`.")


def may_use(model: str) -> bool:
    """Whether the current request's API key may use the model."""
    allowed = current_request().limits.models
    return allowed is None or model in allowed
