"""The ``vllm.general_plugins`` entry point, which vLLM calls in each process that it spawns."""

import multiprocessing
import os
import threading

from service.plugin.names import ARCHITECTURE, TOKENIZER_MODE, TOOL_PARSER
from service.vllm_patches.start_failure import record_failures

MODEL = f"service.plugin.model:{ARCHITECTURE}"
RENDERER = ("service.plugin.renderer", "MiniGPT4Renderer")
TOKENIZER = ("vllm.tokenizers.hf", "CachedHfTokenizer")
PARSER = ("service.plugin.tool_parser", "SchemaToolParser")

_watches_parent = False


def register() -> None:
    """Register model, renderer and tool parser, which are imported on use. Idempotent."""
    from vllm import ModelRegistry
    from vllm.renderers.registry import RENDERER_REGISTRY
    from vllm.tokenizers.registry import TokenizerRegistry
    from vllm.tool_parsers import ToolParserManager

    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, MODEL)
    if TOKENIZER_MODE not in RENDERER_REGISTRY.renderers:
        RENDERER_REGISTRY.register(TOKENIZER_MODE, *RENDERER)
        TokenizerRegistry.register(TOKENIZER_MODE, *TOKENIZER)
    ToolParserManager.register_lazy_module(TOOL_PARSER, *PARSER)
    _exit_with_parent()
    record_failures()


def _exit_with_parent() -> None:
    """In a spawned process, exit when the parent process has ended, for any reason.

    Otherwise an engine whose API process was killed would keep its memory, or the GPU, forever.
    """
    global _watches_parent
    parent = multiprocessing.parent_process()
    if parent is None or _watches_parent:
        return
    _watches_parent = True

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
