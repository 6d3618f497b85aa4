"""``python -m loadtests.parts``: measure top-p and the encoder alone, on one thread.

The parts are top-p over logits where a few tokens have nearly all probability, as in a trained
model, and the default model's encoder by batch size and dtype.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from service.serve.builtin_models import resolve_model
from service.vision.weights import load_vision_encoder
from service.vllm_patches.cpu_top_p import keep_top_p, sort_vocabulary

SECONDS = 1.0
"""Seconds for which each part is repeated."""
TopP = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
VOCABULARIES = (1363, 32000)
"""Vocabulary sizes of the default model and of Vicuna."""
ROWS = (1, 4, 16, 64)
BATCHES = (1, 4, 16)


def main() -> None:
    """Print milliseconds as two Markdown tables."""
    torch.set_num_threads(1)
    print("| top-p | rows | vLLM's, ms | ours, ms |\n| --- | --- | --- | --- |")
    for vocabulary in VOCABULARIES:
        for rows in ROWS:
            logits = peaked_logits(rows, vocabulary)
            p = torch.full((rows,), 0.9)
            times = [
                milliseconds(partial(masked, f, logits, p)) for f in (sort_vocabulary, keep_top_p)
            ]
            print(f"| {vocabulary} tokens | {rows} | {times[0]:.2f} | {times[1]:.2f} |")
    print("\n| encoder | batch | float32, ms an image | bfloat16 |\n| --- | --- | --- | --- |")
    folder = resolve_model("default", Path("results"))
    encoders = [load_vision_encoder(folder.vision, d) for d in (torch.float32, torch.bfloat16)]
    side = folder.index.image_size
    with torch.inference_mode():
        for batch in BATCHES:
            pixels = torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8)
            times = [milliseconds(partial(e.forward, pixels)) / batch for e in encoders]
            print(f"| default model | {batch} | {times[0]:.1f} | {times[1]:.1f} |")


def peaked_logits(rows: int, vocabulary: int) -> Tensor:
    """Return ``[rows, vocabulary]``: noise, and eight tokens with much higher logits."""
    logits = torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(0))
    logits[:, :8] += 16
    return logits


def masked(keep: TopP, logits: Tensor, p: Tensor) -> Tensor:
    """Call ``keep`` on a copy, because it works in place."""
    return keep(logits.clone(), None, p)


def milliseconds(work: Callable[[], object]) -> float:
    """Measure the mean time of one call."""
    work()
    begin, calls = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - begin) < SECONDS:
        work()
        calls += 1
    return 1000 * elapsed / calls


if __name__ == "__main__":
    main()
