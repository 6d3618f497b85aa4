"""Which processes the service consists of."""

import argparse
import os

from service.errors import SettingsError
from service.settings import Settings

MOST_API_PROCESSES = 4
"""By default. An API process feeds some thousand tokens/s, and a GPU decodes no more than four of them can."""

CORES_PER_API_PROCESS = 4


def count_api_processes(arguments: argparse.Namespace, settings: Settings, on_gpu: bool) -> int:
    """Return the number of API processes that share one engine and one encoder under a supervisor.

    0 stands for a single process, which serves HTTP and encodes on a thread.

    Raises:
        SettingsError: the flags exclude each other.
    """
    asked = arguments.api_server_count
    if asked is not None and asked < 1:
        raise SettingsError("--api-server-count must be at least 1.")
    if reason := _find_what_cannot_be_shared(arguments, settings):
        if (asked or 1) > 1:
            raise SettingsError(f"--api-server-count above 1 is not possible with {reason}.")
        return 0
    count = asked or (_default_count() if on_gpu else 1)
    if settings.encoder_process == "off":
        if asked is not None and asked > 1:
            raise SettingsError(
                "--api-server-count above 1 needs the encoder in a process of its own."
            )
        return 0
    return count if settings.encoder_process == "on" or on_gpu or count > 1 else 0


def _find_what_cannot_be_shared(arguments: argparse.Namespace, settings: Settings) -> str | None:
    """Return what only works in a single process, if anything is asked for that does."""
    if arguments.data_parallel_size > 1:
        return "--data-parallel-size above 1"
    if arguments.nnodes > 1:
        return "--nnodes above 1"
    if settings.names_projections:
        return "projections by name"
    if settings.adapters_dir and settings.adapter_keys:
        return "LoRA adapters that clients load"
    return None


def _default_count() -> int:
    cores = len(os.sched_getaffinity(0))
    return max(1, min(MOST_API_PROCESSES, cores // CORES_PER_API_PROCESS))
