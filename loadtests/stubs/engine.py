"""An executor for vLLM's engine that answers at a given pace without computing.

Selected by ``--distributed-executor-backend loadtests.stubs.engine.StubExecutor``. The engine's
process, its scheduler, its KV cache blocks and its sockets are vLLM's own; only the model is
missing.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import torch
from vllm.v1.core.sched.output import NewRequestData, SchedulerOutput
from vllm.v1.executor.abstract import Executor
from vllm.v1.kv_cache_interface import FullAttentionSpec
from vllm.v1.outputs import ModelRunnerOutput

from loadtests.stubs.numbers import FIRST_TOKEN, LATER_TOKEN, NO_IMAGE

STEP_SECONDS = "FRONT_END_STEP_SECONDS"
"""Environment variable: how long one step of the engine takes."""

DEFAULT_STEP_SECONDS = 0.0078
"""A step of 64 streams of a 7B model on an H100, as measured."""

KV_BYTES = 1 << 30


class StubExecutor(Executor):
    """Sleeps for one step, then gives every request whose prompt is complete its next token."""

    def _init_executor(self) -> None:
        self._seconds = float(os.environ.get(STEP_SECONDS, DEFAULT_STEP_SECONDS))
        self._prompts: dict[str, int] = {}
        self._first: dict[str, int] = {}

    def collective_rpc(
        self,
        method: str | Callable[..., Any],
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        non_block: bool = False,
    ) -> Any:
        """Answer what the engine asks its worker; anything else has no answer."""
        answers: dict[Any, Any] = {
            "get_kv_cache_spec": {"layer": self._kv_cache_spec()},
            "get_supported_kv_cache_layouts": ["LBNHC"],
            "determine_available_memory": KV_BYTES,
            "get_supported_tasks": ("generate",),
        }
        if method == "compile_or_warm_up_model":
            return []
        return [answers.get(method)]

    def execute_model(self, scheduler_output: SchedulerOutput, non_block: bool = False) -> Any:
        """Sleep for the step, and return all tokens at once."""
        if scheduler_output.total_num_scheduled_tokens:
            time.sleep(self._seconds)
        output = self._answer(scheduler_output)
        if not non_block:
            return output
        future: Future[ModelRunnerOutput] = Future()
        future.set_result(output)
        return future

    def check_health(self) -> None:
        """Be healthy."""

    def _kv_cache_spec(self) -> FullAttentionSpec:
        return FullAttentionSpec(
            block_size=self.cache_config.block_size,
            num_kv_heads=1,
            head_size=64,
            dtype=torch.bfloat16,
        )

    def _answer(self, scheduled: SchedulerOutput) -> ModelRunnerOutput:
        for finished in scheduled.finished_req_ids:
            self._prompts.pop(finished, None)
            self._first.pop(finished, None)
        computed: dict[str, int] = {}
        for new in scheduled.scheduled_new_reqs:
            self._prompts[new.req_id] = new.prompt_len
            self._first[new.req_id] = _first_token(new)
            computed[new.req_id] = new.num_computed_tokens
        cached = scheduled.scheduled_cached_reqs
        computed.update(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        ids = list(scheduled.num_scheduled_tokens)
        return ModelRunnerOutput(
            req_ids=ids,
            req_id_to_index={name: index for index, name in enumerate(ids)},
            sampled_token_ids=[
                self._next(name, computed[name] + scheduled.num_scheduled_tokens[name])
                for name in ids
            ],
        )

    def _next(self, request: str, done: int) -> list[int]:
        prompt = self._prompts[request]
        if done < prompt:
            return []
        return [self._first[request] if done == prompt else LATER_TOKEN]


def _first_token(request: NewRequestData) -> int:
    """Say the number of the prompt's last image; see :mod:`loadtests.stubs.numbers`."""
    for feature in reversed(request.mm_features):
        if feature.data is not None:
            embeddings = feature.data["image_embeds"].data
            assert isinstance(embeddings, torch.Tensor)
            number = int(embeddings.flatten()[0])
            if not bool((embeddings == number).all()):
                return NO_IMAGE  # rows of two images: the client will notice
            return FIRST_TOKEN + number
    return NO_IMAGE
