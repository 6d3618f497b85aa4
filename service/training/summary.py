"""What a run tells at its start and at its end."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.training.image_lists import ImageListSource
from service.training.lora import ADAPTER
from service.training.model import AlignmentModel
from service.training.presets import Stage
from service.training.samples import Source
from service.training.shards import ShardSource
from service.training.validation import Validation


def describe_start(
    model: AlignmentModel,
    stage: Stage,
    sources: Sequence[Source],
    validation: Validation | None,
    processes: int,
    out: Path,
) -> Iterator[str]:
    """Yield the lines that a run begins with: samples, steps, what learns, where it writes."""
    held_out = f", and {validation.samples} to validate on" if validation else ""
    yield f"Samples: {', '.join(map(_count_samples, sources))}{held_out}."
    step = stage.samples_per_step * processes
    made = f"{stage.batch} x {stage.accumulate} batches x {processes} devices"
    listed = [len(source.entries) for source in sources if isinstance(source, ImageListSource)]
    rounds = ""
    if len(listed) == len(sources):
        rounds = f": every sample {stage.steps * step / sum(listed):.1f} times"
    yield f"Steps: {stage.steps} of {step} samples ({made}){rounds}."
    yield f"Learns: {', '.join(_count_trained(model))}. Frozen: {_count_frozen(model):,} parameters."
    yield f"Starts from {model.start}. Writes {out}."


def describe_next(stage: Stage, finished: Path) -> str:
    """Return the command that usually follows."""
    folder = shlex.quote(str(finished))
    if stage.name == "stage1":
        return (
            f"Next: python -m service align --preset stage2 --model {folder} --data FOLDER "
            "--out FOLDER"
        )
    adapter = ""
    if stage.lora_rank:
        path = shlex.quote(f"trained={finished / ADAPTER}")
        adapter = f" --enable-lora --max-lora-rank {_round_rank(stage.lora_rank)}"
        adapter += f" --lora-modules {path}"
    return f"Next: python -m service serve --model {folder}{adapter}"


def _round_rank(rank: int) -> int:
    """Return the smallest rank of vLLM's that is at least this one."""
    return next((known for known in (8, 16, 32, 64, 128, 256, 320, 512) if known >= rank), rank)


def _count_samples(source: Source) -> str:
    if isinstance(source, ImageListSource):
        return f"{len(source.entries):,} in {source.index}"
    shards = len(source.shards) if isinstance(source, ShardSource) else 1
    return f"those of {shards:,} shards"


def _count_trained(model: AlignmentModel) -> Iterator[str]:
    kinds = {"projection.": "projection", "language_model.": "LoRA"}
    sizes: dict[str, int] = {}
    for name, parameter in model.trained.items():
        kind = next((kind for start, kind in kinds.items() if name.startswith(start)), "Q-Former")
        sizes[kind] = sizes.get(kind, 0) + parameter.numel()
    for kind, size in sizes.items():
        yield f"{kind} {size:,} parameters"


def _count_frozen(model: AlignmentModel) -> int:
    learns = {id(parameter) for parameter in model.trained.values()}
    return sum(
        parameter.numel()
        for part in (model.encoder, model.language_model)
        for parameter in part.parameters()
        if id(parameter) not in learns
    )
