"""The environment that vLLM, torch and Hugging Face read; a value that the user has set stays."""

import argparse
import logging
import os
import warnings
from pathlib import Path

from service.model_folder.layout import ModelFolder
from service.plugin.names import CONNECTOR

DEFAULTS = {
    "VLLM_MEDIA_CONNECTOR": CONNECTOR,
    "VLLM_LOGGING_LEVEL": "ERROR",
    # Warnings of libraries for developers, in all processes.
    "PYTHONWARNINGS": "ignore",
    "TORCH_LOGS": "-all",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    # A forked engine would inherit the encoder's threads in a frozen state.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # vLLM's own limits are for trusted callers: 16384 answers, 1024 prompts in a request.
    "VLLM_MAX_N_SEQUENCES": "16",
    "VLLM_MAX_COMPLETION_PROMPTS": "64",
    "TOKENIZERS_PARALLELISM": "false",
    # Longer than the 60 s of nginx and of load balancers. The client side must close an idle
    # connection first; otherwise a request can arrive on a connection that is being closed.
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "75",
}

DYNAMO_SWITCH = "TORCHDYNAMO_DISABLE"
"""torch reads it when the engine process imports it."""


def set_environment(folder: ModelFolder) -> None:
    """Set the defaults for this process and those it spawns; must run before vLLM is imported."""
    defaults = {**DEFAULTS, "HF_HUB_OFFLINE": "1"} if folder.language_model_is_local else DEFAULTS
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if os.environ["PYTHONWARNINGS"] == "ignore":
        warnings.simplefilter("ignore")
        logging.getLogger("torch").setLevel(
            logging.ERROR
        )  # torch has read TORCH_LOGS at its import


def limit_threads(on_gpu: bool) -> None:
    """Let torch use one thread in this process, and on a GPU in those it spawns.

    Otherwise torch wakes a thread for each core at each copy or cast of an image, and these threads
    spin for a while afterwards. On a CPU the engine and the encoder set the number of their own
    threads.
    """
    import torch  # it takes seconds

    torch.set_num_threads(1)
    if on_gpu:
        for library in ("OMP", "MKL", "OPENBLAS"):
            os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def keep_kernels(cache: Path) -> None:
    """Keep compiled kernels in ``cache``, so that only the first start waits for compilers."""
    kernels = cache / "kernels"
    os.environ.setdefault("VLLM_CACHE_ROOT", str(kernels / "vllm"))
    os.environ.setdefault("TRITON_CACHE_DIR", str(kernels / "triton"))


def compiles_at_first_use() -> bool:
    """Return whether the first request compiles kernels: not if :data:`DYNAMO_SWITCH` is set."""
    return os.environ.get(DYNAMO_SWITCH) != "1"


def disable_compilation(arguments: argparse.Namespace) -> str | None:
    """Turn off compilation at first use, on a CPU with ``--enforce-eager`` (our default).

    vLLM decorates small functions with ``torch.compile``, those for logprobs among them. On a CPU
    that starts a C++ compiler at the first request that needs one. Without a compiler the engine
    would end; with one, every stream would wait for tens of seconds. On a GPU the decorated
    functions are compiled by Triton, and graphs need it.

    Returns:
        A line for the operator where flags or the environment turn compilation on.
    """
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return None
    if arguments.enforce_eager:
        os.environ.setdefault(DYNAMO_SWITCH, "1")
    if os.environ.get(DYNAMO_SWITCH) == "1":
        return None
    return (
        "Compilation is on: the engine needs a C++ compiler, and requests wait while it runs. "
        f"--enforce-eager and {DYNAMO_SWITCH}=1 turn it off."
    )
