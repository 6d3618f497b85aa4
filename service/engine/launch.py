"""The engine's processes as the supervisor starts them, for several API processes.

With one API process and no supervisor, vLLM's client starts them itself (:mod:`service.engine.client`).
"""

from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from typing import Any

from vllm.config import VllmConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine.admission_control import SharedAdmissionStats
from vllm.v1.engine.utils import (
    CoreEngineProcManager,
    EngineZmqListeners,
    bind_engine_zmq_listeners,
    launch_core_engines,
)
from vllm.v1.executor import Executor

from service.engine.cpu_process import EXECUTOR, check_kernels, openmp_threads, shares_process
from service.errors import EngineStartError
from service.vllm_patches.start_failure import collect_cause, explain

SUPERVISOR = -1
"""Rank of the process that serves no requests, as vLLM has it."""


@dataclass(frozen=True)
class EnginePlan:
    """An engine that is about to be started, and the sockets over which API processes will talk to it."""

    config: VllmConfig
    listeners: EngineZmqListeners
    log_stats: bool
    shares_process: bool


def create_config(arguments: Namespace, processes: int = 1, rank: int = 0) -> VllmConfig:
    """vLLM's configuration in one of ``processes`` API processes, or in the supervisor."""
    engine_args = AsyncEngineArgs.from_cli_args(arguments)
    if shares_process(arguments):
        engine_args.distributed_executor_backend = EXECUTOR
    engine_args._api_process_count = processes
    engine_args._api_process_rank = rank
    return engine_args.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)


def plan_engine(arguments: Namespace, processes: int) -> EnginePlan:
    """Configure the engine and bind the sockets of all API processes.

    Raises:
        EngineStartError: the flags contradict each other or the model, or the CPU lacks what the model needs.
    """
    try:
        config = create_config(arguments, processes, SUPERVISOR)
    except Exception as error:
        raise EngineStartError(explain(str(error))) from error
    check_kernels(config)
    return EnginePlan(
        config,
        bind_engine_zmq_listeners(config, processes),
        log_stats=not arguments.disable_log_stats,
        shares_process=shares_process(arguments),
    )


def list_client_addresses(plan: EnginePlan, context: SpawnContext) -> list[dict[str, Any]]:
    """Return the addresses and counters of each API process, in the form that vLLM's client takes."""
    count = len(plan.listeners.inputs)
    counters = context.RawArray("q", SharedAdmissionStats.num_counters(count))
    pairs = zip(plan.listeners.inputs, plan.listeners.outputs, strict=True)
    return [
        {
            "input_address": into.address,
            "output_address": out.address,
            "input_listener": into.socket,
            "output_listener": out.socket,
            "client_count": count,
            "client_index": index,
            "mp_admission_counters": counters,
        }
        for index, (into, out) in enumerate(pairs)
    ]


def launch_engine(plan: EnginePlan, started: Callable[[CoreEngineProcManager], None]) -> None:
    """Start the engine's processes and wait until they can serve. Blocks for tens of seconds.

    Args:
        started: Is called as soon as the processes exist.

    Raises:
        EngineStartError: with the cause, as far as it is known.
    """
    executor = Executor.get_class(plan.config)
    threads = openmp_threads(plan.config) if plan.shares_process else nullcontext()
    with collect_cause() as cause:
        try:
            with (
                threads,
                launch_core_engines(
                    plan.config, executor, plan.log_stats, plan.listeners.addresses
                ) as launch,
            ):
                assert isinstance(launch.engine_manager, CoreEngineProcManager)
                started(launch.engine_manager)
        except Exception as error:
            raise EngineStartError(explain(cause.read_text() or str(error))) from error
