"""On a CPU: the model runs in the engine's own process, where vLLM would start another for it.

The two would hand each step over through shared memory, waiting for one another in loops that give up
the processor and take it again at once. That costs a core for nothing, of which a small machine has
none to spare, and under group scheduling (containers; Linux's autogroups) such loops have kept other
processes, clients included, from running for seconds (docs/decisions/0004-one-engine-process.md).
"""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from vllm.config import VllmConfig
from vllm.platforms import current_platform
from vllm.utils.ompmultiprocessing import OMPProcessManager
from vllm.v1.executor.uniproc_executor import UniProcExecutor

EXECUTOR = f"{UniProcExecutor.__module__}.{UniProcExecutor.__qualname__}"
"""By its full name, as vLLM takes the short one for a mistake on CPUs: it cannot set the threads then."""


def shares_process(arguments: Namespace) -> bool:
    """Whether the model is to run in the engine's process: on one CPU node, unless flags say otherwise."""
    return (
        current_platform.is_cpu()
        and arguments.distributed_executor_backend is None
        and arguments.tensor_parallel_size == 1
        and arguments.pipeline_parallel_size == 1
        and arguments.data_parallel_size == 1
    )


@contextmanager
def openmp_threads(config: VllmConfig) -> Iterator[None]:
    """Processes started meanwhile get the number and binding of threads that vLLM gives its workers."""
    with OMPProcessManager(config).configure_omp_envs(rank=0, local_rank=0):
        yield
