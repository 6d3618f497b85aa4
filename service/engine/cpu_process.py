"""On a CPU: run the model in the engine's own process instead of in a worker process.

With a worker process, engine and worker pass each step through shared memory and wait for each
other in busy loops. These loops take a core. Under group scheduling (containers, Linux's
autogroups) they have kept other processes, including clients, from running for seconds
(docs/decisions/0004-one-engine-process.md).
"""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from vllm.config import VllmConfig
from vllm.platforms import current_platform
from vllm.utils.ompmultiprocessing import OMPProcessManager
from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from service.errors import EngineStartError

EXECUTOR = f"{UniProcExecutor.__module__}.{UniProcExecutor.__qualname__}"
"""The full name of the executor class. On a CPU, vLLM replaces the short name, because it could not
set threads."""


def shares_process(arguments: Namespace) -> bool:
    """Return whether the model runs in the engine's process: on a CPU, without parallelism."""
    return (
        current_platform.is_cpu()
        and arguments.distributed_executor_backend is None
        and arguments.tensor_parallel_size == 1
        and arguments.pipeline_parallel_size == 1
        and arguments.data_parallel_size == 1
    )


@contextmanager
def openmp_threads(config: VllmConfig) -> Iterator[None]:
    """Set number and binding of threads for processes that start in this block, as vLLM does."""
    with OMPProcessManager(config).configure_omp_envs(rank=0, local_rank=0):
        yield


def check_kernels(config: VllmConfig) -> None:
    """Refuse a language model that vLLM's CPU kernels cannot compute.

    vLLM itself starts with an unsupported head size, and the first request ends the engine. For
    FP8, the start fails with an error that does not say why.

    Raises:
        EngineStartError: says what is not supported.
    """
    if not current_platform.is_cpu():
        return
    size = config.model_config.get_head_size()
    if not CPUAttentionBackend.supports_head_size(size):
        supported = ", ".join(map(str, CPUAttentionBackend.get_supported_head_sizes()))
        raise EngineStartError(
            f"The language model's attention heads have {size} elements. On a CPU, vLLM supports "
            f"{supported}."
        )
    if config.model_config.quantization == "fp8" and not torch.cpu._is_amx_tile_supported():
        raise EngineStartError("FP8 weights need a GPU, or a CPU with AMX, which this one lacks.")
