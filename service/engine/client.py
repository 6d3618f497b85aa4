"""The engine as the API process sees it: vLLM's AsyncLLM with our rules for every request."""

from argparse import Namespace
from contextlib import nullcontext
from typing import Any

from vllm.config import VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.usage.usage_lib import UsageContext

from service.engine.admission import AdmittingEngine, Answer
from service.engine.constraints import check_constraints, refuse_dead_ends
from service.engine.cpu_process import check_kernels, openmp_threads, shares_process
from service.engine.json_answers import bound_integers, find_control_tokens, forbid_tokens
from service.engine.launch import create_config
from service.engine.leading_space import has_leading_space_stripped, strip_leading_space
from service.engine.stop_strings import end_naturally, missing_stop, with_stop
from service.engine.utf8_answers import TokenPair, find_ill_formed_pairs, forbid_pairs
from service.errors import EngineStartError
from service.request_context import current_request
from service.shared_count import Count
from service.vllm_patches.log_filter import filter_client_errors
from service.vllm_patches.metering import meter
from service.vllm_patches.start_failure import collect_cause, explain

BACKGROUND_PRIORITY = 1 << 62
"""Of a batch's line; other requests have 0 or a client's own, and the scheduler takes the lowest first."""


class Engine(AdmittingEngine):
    """Submits requests to the engine process.

    On all routes alike it

    - refuses impossible structured output before the response begins;
    - reserves slots in the queue (:mod:`service.engine.admission`);
    - ends every answer at the family's stop strings, and strips the space before it;
    - charges the request's API key (:mod:`service.vllm_patches.metering`);
    - keeps the cached prefixes of API keys apart, where the settings ask for it;
    - lets the lines of batches wait for all other requests.
    """

    family_stop: tuple[str, ...] = ()
    isolate_keys: bool = False
    control_tokens: tuple[int, ...] = ()
    ill_formed_pairs: tuple[TokenPair, ...] = ()
    client_priorities: bool = False

    @property
    def has_priorities(self) -> bool:
        """Whether the scheduler regards priorities (``--scheduling-policy priority``, our default)."""
        return bool(self.scheduler_config.policy == "priority")

    def generate(
        self, prompt: Any, sampling_params: SamplingParams, request_id: str, **options: Any
    ) -> Answer:
        """Generate as AsyncLLM does, which documents the options. Refusals are raised at once, not by the first step."""
        check_constraints(self, sampling_params)
        sampling_params = forbid_tokens(bound_integers(sampling_params), self.control_tokens)
        sampling_params = forbid_pairs(sampling_params, self.ill_formed_pairs, self.get_tokenizer())
        background = current_request().is_background
        reservation = None if background else self.reserve(sampling_params.n)
        if background and self.has_priorities:
            options["priority"] = BACKGROUND_PRIORITY
        elif not self.client_priorities:
            options["priority"] = 0  # otherwise a client could put itself before all others
        stop = missing_stop(sampling_params, self.family_stop)
        if self.isolate_keys:
            prompt = salt_prompt(prompt, current_request().tenant)
        answer: Answer = super().generate(
            prompt, with_stop(sampling_params, stop), request_id, **options
        )
        if sampling_params.structured_outputs is not None:
            answer = refuse_dead_ends(answer)
        if stop:
            answer = end_naturally(answer, stop)
        if has_leading_space_stripped(sampling_params, request_id):
            answer = strip_leading_space(answer, sampling_params.output_kind)
        if reservation is None:
            return self.count_background(sampling_params.n, answer)
        return self.hold_until_added(reservation, answer)


def salt_prompt(prompt: Any, tenant: str) -> Any:
    """Return ``prompt`` with a salt, so that it shares cached prefixes only with prompts of the same API key.

    A client's own ``cache_salt`` separates the prompts of its key further.
    """
    if isinstance(prompt, dict):
        prompt = {**prompt, "cache_salt": f"{tenant}:{prompt.get('cache_salt') or ''}"}
    return prompt


def start_engine(arguments: Namespace, stop: tuple[str, ...], isolate_keys: bool = False) -> Engine:
    """Start the engine's processes and wait until they can serve. Blocks for tens of seconds.

    Args:
        arguments: vLLM's arguments, parsed. With ``client_priorities``, requests may name their priority.
        stop: The family's stop strings.
        isolate_keys: Whether API keys share no cached prefixes.

    Raises:
        EngineStartError: with the cause if it is known. The engine has printed its traceback before.
    """
    with collect_cause() as cause:
        try:
            engine = _start(arguments)
        except EngineStartError:
            raise
        except Exception as error:
            raise EngineStartError(explain(cause.read_text() or str(error))) from error
    return _apply_rules(engine, arguments, stop, isolate_keys)


def connect_engine(
    arguments: Namespace,
    stop: tuple[str, ...],
    isolate_keys: bool,
    addresses: dict[str, Any],
    reservations: Count,
    lines: Count,
) -> Engine:
    """Connect to an engine that the supervisor starts, and wait until it can serve.

    Args:
        arguments: vLLM's arguments, parsed.
        stop: The family's stop strings.
        isolate_keys: Whether API keys share no cached prefixes.
        addresses: From :func:`service.engine.launch.list_client_addresses`.
        reservations: Counts reserved slots together with the other API processes.
        lines: Counts the sequences of batches' lines in the same way.
    """
    count, index = addresses["client_count"], addresses["client_index"]
    engine = _create(
        arguments,
        create_config(arguments, count, index),
        client_addresses=addresses,
        client_count=count,
        client_index=index,
    )
    engine.share_counts(reservations, lines)
    return _apply_rules(engine, arguments, stop, isolate_keys)


def _apply_rules(
    engine: Engine, arguments: Namespace, stop: tuple[str, ...], isolate_keys: bool
) -> Engine:
    engine.family_stop, engine.isolate_keys = stop, isolate_keys
    vocabulary = engine.get_tokenizer().get_vocab()
    engine.control_tokens = find_control_tokens(vocabulary)
    engine.ill_formed_pairs = find_ill_formed_pairs(vocabulary)
    meter(engine.output_processor)
    engine.client_priorities = getattr(arguments, "client_priorities", False)
    filter_client_errors()
    return engine


def _start(arguments: Namespace) -> Engine:
    config = create_config(arguments)
    check_kernels(config)
    with openmp_threads(config) if shares_process(arguments) else nullcontext():
        return _create(arguments, config)


def _create(arguments: Namespace, config: VllmConfig, **client: Any) -> Engine:
    engine = Engine.from_vllm_config(
        vllm_config=config,
        usage_context=UsageContext.OPENAI_API_SERVER,
        enable_log_requests=arguments.enable_log_requests,
        aggregate_engine_logging=arguments.aggregate_engine_logging,
        disable_log_stats=arguments.disable_log_stats,
        **client,
    )
    assert isinstance(engine, Engine)
    return engine
