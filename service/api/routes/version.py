"""``GET /version``."""

import vllm

from service import __version__


def versions() -> dict[str, str]:
    """Return the versions of the service and of the engine."""
    return {"version": __version__, "vllm": vllm.__version__}
