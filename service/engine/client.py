"""The engine as the API process sees it: vLLM's AsyncLLM with the family's stop strings."""

import re
from argparse import Namespace
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.outputs import RequestOutput
from vllm.sampling_params import SamplingParams
from vllm.usage.usage_lib import UsageContext

from service.engine.admission import AdmittingEngine
from service.engine.constraints import check_constraints, refusing_dead_ends
from service.engine.cpu_process import EXECUTOR, openmp_threads, shares_process
from service.engine.log_filter import log_own_faults_only
from service.engine.stop_strings import added_stop, ending_naturally, with_stop
from service.engine.unsent import marking_unsent
from service.errors import EngineStartError
from service.plugin.content_parts import with_image_parts
from service.plugin.errors import translating_errors
from service.plugin.start_failure import recording
from service.plugin.text_limits import bounding_conversations, bounding_text, most_characters
from service.request_context import TENANT


class Engine(AdmittingEngine):
    """Ends every answer at the family's stop strings, on all routes alike."""

    family_stop: tuple[str, ...] = ()
    isolate_keys: bool = False

    def generate(
        self, prompt: Any, sampling_params: SamplingParams, request_id: str, **options: Any
    ) -> AsyncGenerator[RequestOutput, None]:
        """As AsyncLLM's, which documents the options; raises at once for what cannot be had."""
        check_constraints(self, sampling_params)
        room = self.reserve(sampling_params.n)
        added = added_stop(sampling_params, self.family_stop)
        params = with_stop(sampling_params, added)
        if self.isolate_keys:
            prompt = with_salt(prompt, TENANT.get())
        answer = super().generate(prompt, params, request_id, **options)
        if params.structured_outputs is not None:
            answer = refusing_dead_ends(answer)
        if added:
            answer = ending_naturally(answer, added)
        return room.kept_for(answer)


def with_salt(prompt: Any, tenant: str) -> Any:
    """``prompt``, sharing cached prefixes only with prompts of the same API key.

    A client's own ``cache_salt`` still divides that key's prompts further.
    """
    if isinstance(prompt, dict):
        prompt = {**prompt, "cache_salt": f"{tenant}:{prompt.get('cache_salt') or ''}"}
    return prompt


def start_engine(arguments: Namespace, stop: tuple[str, ...], isolate_keys: bool = False) -> Engine:
    """Start the engine's processes and wait until they can serve. Blocks for tens of seconds.

    Raises:
        EngineStartError: with what is known of the cause; the engine's own trace comes before it.
    """
    with recording() as cause:
        try:
            engine = _start(arguments)
        except Exception as error:
            raise EngineStartError(_why(cause.read_text() or str(error))) from error
    engine.family_stop, engine.isolate_keys = stop, isolate_keys
    log_own_faults_only()
    _prepare_renderer(engine.renderer, most_characters(engine.model_config.max_model_len))
    return engine


def _prepare_renderer(renderer: Any, most: int) -> None:
    # Every chat-like route renders its messages with this; the layers from the innermost to the first.
    render = without_second_start(renderer.render_chat_async)
    render = marking_unsent(render, renderer.mm_processor_cache)
    render = bounding_conversations(render, most)
    renderer.render_chat_async = translating_errors(with_image_parts(render))
    # And every route tokenizes with this.
    renderer.tokenize_prompt_async = bounding_text(renderer.tokenize_prompt_async, most)


def _start(arguments: Namespace) -> Engine:
    engine_args = AsyncEngineArgs.from_cli_args(arguments)
    shared = shares_process(arguments)
    if shared:
        engine_args.distributed_executor_backend = EXECUTOR
    config = engine_args.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)
    with openmp_threads(config) if shared else nullcontext():
        engine = Engine.from_vllm_config(
            vllm_config=config,
            usage_context=UsageContext.OPENAI_API_SERVER,
            enable_log_requests=engine_args.enable_log_requests,
            aggregate_engine_logging=engine_args.aggregate_engine_logging,
            disable_log_stats=engine_args.disable_log_stats,
        )
    assert isinstance(engine, Engine)
    return engine


def _why(cause: str) -> str:
    # vLLM names its processes with their exit status; the kernel's OOM killer sends SIGKILL.
    if re.search(r"'[^']+': -9\b", cause):
        return (
            "The vLLM engine was killed while it started, most likely for lack of memory. "
            "`inspect` says what the model needs; VLLM_CPU_KVCACHE_SPACE (GiB) or "
            "--gpu-memory-utilization bounds the KV cache."
        )
    first = cause.strip().partition("\n")[0]
    return f"The vLLM engine did not start: {first}"


def without_second_start(render: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """``render``, never adding ``<s>``: the chat templates write it, and /v1/responses would repeat it."""

    async def rendered(
        conversations: Any, chat_params: Any, tok_params: Any = None, **options: Any
    ) -> Any:
        if tok_params is not None:
            tok_params = replace(tok_params, add_special_tokens=False)
        return await render(conversations, chat_params, tok_params, **options)

    return rendered
