"""The runtime with an encoder that a test controls."""

from tests.vision.conftest import encoder, start_runtime

__all__ = ["encoder", "start_runtime"]
