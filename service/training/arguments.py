"""The command line of ``align``: its options, and the checks on their values."""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import get_args

from service.errors import AlignmentError, DatasetError
from service.training.language_model import Bits, check_bits
from service.training.lora import check_lora
from service.training.model import VisionDtype
from service.training.presets import LAION_TO_CC_SBU, PRESETS, Stage
from service.training.start_options import check_start_options
from service.training.trained_parts import Variant
from service.training.trainer import FINISHED

_RELEASED_RATIOS = "{} and {}".format(*LAION_TO_CC_SBU)

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
    "accumulate": int,
    "target_tokens": int,
    "lora_rank": int,
    "lora_alpha": float,
    "lora_dropout": float,
}
"""Settings of a preset that an option replaces."""

_AT_LEAST = {"batch": 1, "epochs": 1, "steps_per_epoch": 1, "checkpoint_steps": 1}
_AT_LEAST |= {"accumulate": 1, "target_tokens": 1}
_BELOW = {"seed": 2**32, "lora_dropout": 1}


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
        help="data set: a .jsonl, a folder, or shards such as laion/{00000..10488}.tar. With "
        "several data sets each needs a ratio, which says how often a batch comes from it: "
        f"{_RELEASED_RATIOS} for LAION and for CC and SBU in the released configuration",
    )
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="where the image paths of lists start"
    )
    validation = parser.add_mutually_exclusive_group()
    validation.add_argument(
        "--validation",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the images that is not trained on; its loss is measured at each checkpoint",
    )
    validation.add_argument(
        "--validation-data", metavar="WHERE", help="a list of other samples to measure the loss on"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the run; run again to resume"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print how much memory the run will need, and load nothing",
    )
    parser.add_argument(
        "--variant",
        choices=get_args(Variant),
        default="published",
        help="what learns: the published projection, or a variant of the paper's ablation",
    )
    parser.add_argument(
        "--projection", type=Path, help="start from this projection.safetensors of another run"
    )
    parser.add_argument(
        "--keep-projection",
        action="store_true",
        help="stage 1: start from the folder's projection instead of a new one",
    )
    parser.add_argument(
        "--new-projection",
        action="store_true",
        help="stage 2: start from a new random projection instead of the folder's",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--seed", type=int, default=0, help="of a new projection, the data's order and instructions"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that decode images")
    parser.add_argument(
        "--keep-features",
        type=_parse_keep_features,
        default=0.0,
        metavar="GB|FOLDER",
        help="keep the frozen encoder's features of images that come again: so much in memory, or "
        "in a folder, which later runs read too",
    )
    parser.add_argument(
        "--checkpoint-steps", type=int, default=500, help="steps between two checkpoints"
    )
    parser.add_argument(
        "--keep-every",
        type=int,
        default=0,
        metavar="STEPS",
        help="steps between the numbered checkpoints, which are kept; default: an epoch's",
    )
    parser.add_argument(
        "--language-model-bits",
        type=int,
        choices=get_args(Bits),
        help="quantise the frozen language model in memory, with bitsandbytes",
    )
    parser.add_argument(
        "--vision-dtype",
        choices=get_args(VisionDtype),
        default="auto",
        help="float16 keeps the ViT as the original does",
    )
    parser.add_argument(
        "--checkpoint-gradients",
        action="store_true",
        help="compute the language model's layers twice to save memory",
    )
    parser.add_argument("--strict", action="store_true", help="fail at the first bad sample")
    parser.add_argument(
        "--copy-language-model", action="store_true", help="make the finished folder self-contained"
    )
    for name, kind in _OVERRIDES.items():
        parser.add_argument(f"--{_option(name)}", type=kind, help="instead of the preset's")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse at once what would otherwise fail only after the model is loaded; create ``--out``.

    Raises:
        AlignmentError: a number is out of its range, or a path cannot be used.
    """
    for name in (*_OVERRIDES, "seed", "workers", "checkpoint_steps", "keep_every", "validation"):
        _check_range(name, getattr(arguments, name))
    if not isinstance(arguments.keep_features, Path):
        _check_range("keep_features", arguments.keep_features)
    if arguments.validation >= 1:
        raise AlignmentError(
            f"--validation is {arguments.validation}; it is a share of the images and below 1."
        )
    check_bits(arguments.language_model_bits)
    if select_stage(arguments).lora_rank:
        check_lora()
    if arguments.crop_scale is not None and not 0 < arguments.crop_scale <= 1:
        raise AlignmentError(
            f"--crop-scale is {arguments.crop_scale}; it must be above 0 and at most 1."
        )
    if arguments.keep_features and select_stage(arguments).crop_scale < 1:
        raise AlignmentError(
            "--keep-features is for images that come again, and random crops do not. Give only one "
            "of --keep-features and --crop-scale."
        )
    check_start_options(arguments)
    if (arguments.out / FINISHED).resolve() == arguments.model.resolve():
        raise AlignmentError(f"{arguments.model} would be overwritten; give another --out.")
    if arguments.projection and not arguments.projection.is_file():
        raise AlignmentError(f"{arguments.projection} does not exist.")
    if arguments.dry_run:
        return
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AlignmentError(
            f"{arguments.out} cannot be the run's folder: {error.strerror}."
        ) from error


def _parse_keep_features(text: str) -> float | Path:
    try:
        return float(text)
    except ValueError:
        return Path(text)


def _check_range(name: str, value: float | None) -> None:
    least, limit = _AT_LEAST.get(name, 0), _BELOW.get(name)
    # The comparison is written so that it refuses NaN as well.
    if value is not None and not least <= value < (limit or math.inf):
        raise AlignmentError(
            f"--{_option(name)} is {value}; it must be a number of at least {least}"
            + (f" and below {limit}." if limit else ".")
        )


def _option(name: str) -> str:
    return name.replace("_", "-")


def select_stage(arguments: argparse.Namespace) -> Stage:
    """Return the preset with the settings that the command line changes."""
    given = {name: getattr(arguments, name) for name in _OVERRIDES}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(PRESETS[arguments.preset], **changes)


def parse_data_sets(given: list[str]) -> tuple[list[str], list[float]]:
    """Split ``WHERE[=RATIO]`` arguments into locations and ratios.

    Raises:
        DatasetError: a ratio cannot be used, or one of several data sets has none.
    """
    pairs = [_parse_data_set(text) for text in given]
    if len(pairs) > 1 and (without := [where for where, ratio in pairs if ratio is None]):
        raise DatasetError(
            f"With several data sets each needs a ratio: {without[0]}=RATIO says how often a batch "
            f"comes from it ({_RELEASED_RATIOS} for LAION and for CC and SBU in the released "
            "configuration)."
        )
    return [where for where, _ in pairs], [ratio or 1.0 for _, ratio in pairs]


def _parse_data_set(text: str) -> tuple[str, float | None]:
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
