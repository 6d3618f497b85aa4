"""Run vLLM's AsyncLLM in this process on token ids: a lower bound for the cost of serving."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

import psutil

from loadtests.client import Run, Sample
from loadtests.traffic import WORKLOADS
from loadtests.usage import Usage
from service.engine.client import start_engine
from service.model_folder.layout import ModelFolder
from service.serve.environment import set_environment
from service.serve.vllm_arguments import parse_vllm_flags
from service.settings import Settings


def measure(
    folder: ModelFolder, concurrencies: Sequence[int], seconds: float, tokens: int = 32
) -> Iterator[dict[str, Any]]:
    """Run closed loops over text-only prompts, tokenized as in the service."""
    set_environment(folder)
    arguments = parse_vllm_flags(folder, Settings(), [])  # type: ignore[call-arg]
    with asyncio.Runner() as runner:
        engine = runner.run(_start(arguments))
        for concurrency in concurrencies:
            with Usage(psutil.Process().pid) as usage:
                run = runner.run(_closed(engine, folder, concurrency, seconds, tokens))
            yield {
                "concurrency": concurrency,
                "cpu_seconds": usage.cpu_seconds,
                "peak_bytes": usage.peak_bytes,
                **run.raw(),
            }
        engine.shutdown(timeout=5)


async def _start(arguments: Any) -> Any:
    return start_engine(arguments, ())


async def _closed(
    engine: Any, folder: ModelFolder, concurrency: int, seconds: float, tokens: int
) -> Run:
    from transformers import AutoTokenizer
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    tokenizer = AutoTokenizer.from_pretrained(folder.tokenizer)
    parameters = SamplingParams(
        max_tokens=tokens,
        ignore_eos=True,
        temperature=1.0,
        top_p=0.9,
        output_kind=RequestOutputKind.DELTA,
    )
    numbers, workload = itertools.count(), WORKLOADS["text"](0)
    samples: list[Sample] = []
    begin = monotonic()

    async def user() -> None:
        while (now := monotonic()) - begin < seconds:
            prompt: Any = tokenizer.apply_chat_template(
                next(workload), add_generation_prompt=True, return_dict=True
            )
            ids = prompt["input_ids"]
            sample = Sample(now - begin, 200)
            last = now
            request = f"{concurrency}-{next(numbers)}"
            async for _ in engine.generate({"prompt_token_ids": ids}, parameters, request):
                moment = monotonic()
                if sample.first_token:
                    sample.gaps.append(moment - last)
                else:
                    sample.first_token = moment - now
                last = moment
            sample.seconds = monotonic() - now
            samples.append(sample)

    await asyncio.gather(*(user() for _ in range(concurrency)))
    return Run(monotonic() - begin, samples)
