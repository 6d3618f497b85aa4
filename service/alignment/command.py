"""``align``: train the projection of a model folder."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import get_args

from service.alignment.model import AlignmentModel, Variant
from service.alignment.presets import PRESETS, Stage
from service.alignment.processes import joined
from service.alignment.sources import open_source
from service.alignment.trainer import RunSettings, Trainer
from service.errors import DatasetError
from service.model_folder.layout import ModelFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.description = "Train the projection of a model folder; everything else stays frozen."
    parser.add_argument("--model", type=Path, required=True, help="model folder to start from")
    parser.add_argument("--preset", choices=PRESETS, required=True, help="stage and its settings")
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="WHERE[=RATIO]",
        help="data set: a .jsonl, a folder, or shards such as laion/{00000..10488}.tar; may be "
        "repeated, each with how often a batch comes from it (115 and 14 in the paper)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the run; run again to resume"
    )
    parser.add_argument("--variant", choices=get_args(Variant), default="published")
    parser.add_argument(
        "--projection", type=Path, help="start from this projection.safetensors of another run"
    )
    parser.add_argument(
        "--keep-projection",
        action="store_true",
        help="stage 1: go on from the folder's projection instead of a new one",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes that decode images")
    parser.add_argument(
        "--keep-features",
        type=float,
        default=0.0,
        metavar="GB",
        help="memory for what the frozen encoder said of images that come again (small data sets)",
    )
    parser.add_argument("--checkpoint-steps", type=int, default=500)
    parser.add_argument("--strict", action="store_true", help="fail at the first bad sample")
    parser.add_argument(
        "--copy-language-model", action="store_true", help="make the finished folder self-contained"
    )
    for name, kind in _OVERRIDES.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind, help="instead of the preset's"
        )


_OVERRIDES = {
    "batch": int,
    "epochs": int,
    "steps_per_epoch": int,
    "learning_rate": float,
    "final_learning_rate": float,
    "warmup_steps": int,
    "weight_decay": float,
    "initial_scale": float,
}


def run(arguments: argparse.Namespace) -> None:
    """Train, resuming where ``--out`` holds an unfinished run of the same settings."""
    stage = chosen_stage(arguments)
    sources, ratios = zip(*(_source(text) for text in arguments.data), strict=True)
    settings = RunSettings(
        out=arguments.out,
        seed=arguments.seed,
        workers=arguments.workers,
        checkpoint_steps=arguments.checkpoint_steps,
        strict=arguments.strict,
        copy_language_model=arguments.copy_language_model,
    )
    with joined(arguments.device) as processes:
        fresh = stage.name == "stage1" and not arguments.keep_projection
        model = AlignmentModel.load(
            ModelFolder.open(arguments.model),
            arguments.variant,
            fresh=fresh,
            initial_scale=stage.initial_scale,
            seed=arguments.seed,
            device=processes.device,
        )
        if arguments.projection:
            model.load_projection(arguments.projection)
        if arguments.keep_features > 0:
            model.keep_features(int(arguments.keep_features * 1e9))
        opened = [open_source(where) for where in sources]
        trainer = Trainer(model, stage, opened, ratios, settings, processes, arguments.variant)
        finished = trainer.run()
    print(finished)


def chosen_stage(arguments: argparse.Namespace) -> Stage:
    """The preset with what the command line changes."""
    given = {name: getattr(arguments, name) for name in _OVERRIDES}
    changes = {name: value for name, value in given.items() if value is not None}
    if any(value < 0 or (value == 0 and name in _COUNTS) for name, value in changes.items()):
        raise DatasetError(f"These must be above zero: {', '.join(_COUNTS)}; the others not below.")
    return replace(PRESETS[arguments.preset], **changes)


_COUNTS = ("batch", "epochs", "steps_per_epoch")


def _source(text: str) -> tuple[str, float]:
    where, separator, ratio = text.rpartition("=")
    if not separator:
        return text, 1.0
    try:
        return where, float(ratio)
    except ValueError:
        return text, 1.0
