"""The ``vllm.general_plugins`` entry point: vLLM calls it in every process it spawns."""

import multiprocessing
import os
import threading

from service.plugin.names import ARCHITECTURE
from service.plugin.start_failure import record_failures

MODEL_CLASS = f"service.plugin.model:{ARCHITECTURE}"

_watched = False


def register() -> None:
    """Make the architecture known. Idempotent, and cheap: the class is imported when it is needed."""
    from vllm import ModelRegistry

    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, MODEL_CLASS)
    _end_with_parent()
    record_failures()


def _end_with_parent() -> None:
    """In a spawned process: end when the one that spawned it is gone, however it ended.

    An engine whose API process was killed would keep its memory, or the GPU, for ever.
    """
    global _watched
    parent = multiprocessing.parent_process()
    if parent is None or _watched:
        return
    _watched = True

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
