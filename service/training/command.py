"""``align``: train the projection of a model folder."""

import argparse
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

from service.errors import AlignmentError, DatasetError
from service.model_folder.layout import ModelFolder
from service.training.initial_projection import check_folder, check_start, starts_anew
from service.training.model import AlignmentModel, Variant
from service.training.presets import LAION_TO_CC_SBU, PRESETS, Stage
from service.training.processes import joined
from service.training.sources import open_source
from service.training.trainer import FINISHED, RunSettings, Trainer

_PUBLISHED = "{} and {}".format(*LAION_TO_CC_SBU)


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
        help="data set: a .jsonl, a folder, or shards such as laion/{00000..10488}.tar; of several "
        f"each needs how often a batch comes from it ({_PUBLISHED} in the paper)",
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
    parser.add_argument(
        "--new-projection",
        action="store_true",
        help="stage 2: start from a new random projection instead of the folder's",
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
    "crop_scale": float,
}


_AT_LEAST = {"batch": 1, "epochs": 1, "steps_per_epoch": 1, "checkpoint_steps": 1}
_AT_MOST = {"seed": 2**32}


def run(arguments: argparse.Namespace) -> None:
    """Train, resuming where ``--out`` holds an unfinished run of the same settings; Ctrl-C exits with 130.

    Raises:
        ServiceError: an argument, the data or the model cannot be used, or training failed.
    """
    check(arguments)
    try:
        _train(arguments)
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            print(
                f"Interrupted; {arguments.out} has the last checkpoint, if there was one yet. Run again to "
                "go on.",
                file=sys.stderr,
            )
        sys.exit(130)


def _train(arguments: argparse.Namespace) -> None:
    stage = chosen_stage(arguments)
    places, ratios = data_sets(arguments.data)
    settings = RunSettings(
        out=arguments.out,
        seed=arguments.seed,
        workers=arguments.workers,
        checkpoint_steps=arguments.checkpoint_steps,
        strict=arguments.strict,
        copy_language_model=arguments.copy_language_model,
    )
    with joined(arguments.device) as processes:
        sources = [open_source(place) for place in places]
        folder = ModelFolder.open(arguments.model)
        check_folder(arguments, folder)
        model = AlignmentModel.load(
            folder,
            arguments.variant,
            fresh=starts_anew(arguments),
            initial_scale=stage.initial_scale,
            seed=arguments.seed,
            device=processes.device,
        )
        if arguments.projection:
            model.load_projection(arguments.projection)
        if arguments.keep_features > 0:
            model.keep_features(int(arguments.keep_features * 1e9))
        trainer = Trainer(model, stage, sources, ratios, settings, processes, arguments.variant)
        finished = trainer.run()
        if processes.is_first:
            print(finished)


def check(arguments: argparse.Namespace) -> None:
    """Refuse at once what would show only after the model is loaded.

    Raises:
        AlignmentError: a number is out of its range, or a path cannot be used.
    """
    for name in (*_OVERRIDES, "seed", "workers", "checkpoint_steps", "keep_features"):
        value, least, most = getattr(arguments, name), _AT_LEAST.get(name, 0), _AT_MOST.get(name)
        # Written so that "not a number" is refused as well.
        if value is not None and not least <= value < (most or math.inf):
            raise AlignmentError(
                f"--{name.replace('_', '-')} is {value}; it must be a number of at least {least}"
                + (f" and below {most}." if most else ".")
            )
    if arguments.crop_scale is not None and not 0 < arguments.crop_scale <= 1:
        raise AlignmentError(
            f"--crop-scale is {arguments.crop_scale}; it must be above 0 and at most 1."
        )
    if arguments.keep_features and chosen_stage(arguments).crop_scale < 1:
        raise AlignmentError(
            "--keep-features is for images that come again; crops do not. Leave one out."
        )
    check_start(arguments)
    if (arguments.out / FINISHED).resolve() == arguments.model.resolve():
        raise AlignmentError(f"{arguments.model} would be overwritten; give another --out.")
    if arguments.projection and not arguments.projection.is_file():
        raise AlignmentError(f"{arguments.projection} does not exist.")
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AlignmentError(
            f"{arguments.out} cannot be the run's folder: {error.strerror}."
        ) from error


def chosen_stage(arguments: argparse.Namespace) -> Stage:
    """The preset with what the command line changes."""
    given = {name: getattr(arguments, name) for name in _OVERRIDES}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(PRESETS[arguments.preset], **changes)


def data_sets(given: list[str]) -> tuple[list[str], list[float]]:
    """Places and ratios of ``WHERE[=RATIO]`` arguments.

    Raises:
        DatasetError: a ratio cannot be used, or one of several data sets has none.
    """
    pairs = [_data_set(text) for text in given]
    if len(pairs) > 1 and (without := [where for where, ratio in pairs if ratio is None]):
        raise DatasetError(
            f"Of several data sets each needs a ratio: {without[0]}=RATIO says how often a batch comes "
            f"from it ({_PUBLISHED} for LAION and for CC and SBU in the paper)."
        )
    return [where for where, _ in pairs], [ratio or 1.0 for _, ratio in pairs]


def _data_set(text: str) -> tuple[str, float | None]:
    where, separator, ratio = text.rpartition("=")
    try:
        value = float(ratio)
    except ValueError:
        return text, None
    if not separator:
        return text, None
    if not 0 < value < math.inf:
        raise DatasetError(f"--data {text}: the ratio must be a number above zero.")
    return where, value
