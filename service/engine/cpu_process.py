"""On a CPU: run the model in the engine's own process instead of in a worker process.

Engine and worker would hand over each step through shared memory, and wait for each other in busy loops that
yield the processor and take it again at once. That costs a core. Under group scheduling (containers, Linux's
autogroups) such loops have kept other processes from running for seconds, the clients' among them
(docs/decisions/0004-one-engine-process.md).
"""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from vllm.config import VllmConfig
from vllm.platforms import current_platform
from vllm.utils.ompmultiprocessing import OMPProcessManager
from vllm.v1.executor.uniproc_executor import UniProcExecutor

EXECUTOR = f"{UniProcExecutor.__module__}.{UniProcExecutor.__qualname__}"
"""The full name: on a CPU vLLM replaces the short one, because it could not set the threads then."""


def shares_process(arguments: Namespace) -> bool:
    """Whether the model runs in the engine's process: on a CPU without parallelism or an executor by flag."""
    return (
        current_platform.is_cpu()
        and arguments.distributed_executor_backend is None
        and arguments.tensor_parallel_size == 1
        and arguments.pipeline_parallel_size == 1
        and arguments.data_parallel_size == 1
    )


@contextmanager
def openmp_threads(config: VllmConfig) -> Iterator[None]:
    """Give processes that start in this block the threads that vLLM gives its workers: number and binding."""
    with OMPProcessManager(config).configure_omp_envs(rank=0, local_rank=0):
        yield
