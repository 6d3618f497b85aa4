"""``align``: train the projection of a model folder."""

import argparse
import os
import sys
from pathlib import Path

import torch

from service.model_folder.layout import ModelFolder
from service.training.arguments import (
    add_arguments,
    check_arguments,
    parse_data_sets,
    select_stage,
)
from service.training.feature_cache import FeatureCache, identify_encoder
from service.training.held_out import check_texts, hold_out
from service.training.lora import LoraSettings
from service.training.memory_estimate import Sizes, estimate_memory, format_estimate
from service.training.model import AlignmentModel, FrozenSettings
from service.training.presets import Stage
from service.training.processes import join_processes
from service.training.run_settings import RunSettings
from service.training.sources import open_data_set
from service.training.start_options import check_folder_options, starts_from_new_projection
from service.training.summary import describe_next, describe_start
from service.training.trainer import Trainer
from service.training.validation import Validation

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> None:
    """Train, or resume an unfinished run of the same settings in ``--out``. Ctrl-C exits with 130.

    Raises:
        ServiceError: an argument, the data or the model cannot be used, or training failed.
    """
    check_arguments(arguments)
    try:
        _train(arguments)
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            print(
                f"Interrupted. The last checkpoint, if there was one yet, is in {arguments.out}: "
                "run again to resume from it.",
                file=sys.stderr,
            )
        sys.exit(130)


def _train(arguments: argparse.Namespace) -> None:
    stage = select_stage(arguments)
    if arguments.dry_run:
        _estimate(arguments, stage)
        return
    locations, ratios = parse_data_sets(arguments.data)
    settings = RunSettings(
        out=arguments.out,
        seed=arguments.seed,
        workers=arguments.workers,
        checkpoint_steps=arguments.checkpoint_steps,
        keep_every=arguments.keep_every,
        strict=arguments.strict,
        copy_language_model=arguments.copy_language_model,
    )
    with join_processes(arguments.device) as processes:
        sources = [open_data_set(location, arguments.images) for location in locations]
        check_texts(stage, sources)
        sources, held_out = hold_out(
            sources,
            arguments.validation,
            arguments.validation_data,
            arguments.images,
            settings.seed,
        )
        validation = Validation(held_out, stage, settings.seed, processes) if held_out else None
        folder = ModelFolder.open(arguments.model)
        check_folder_options(arguments, folder)
        model = _load_model(arguments, stage, folder, processes.device)
        for line in describe_start(
            model, stage, sources, validation, processes.world, arguments.out
        ):
            processes.say(line)
        trainer = Trainer(
            model, stage, sources, ratios, settings, processes, arguments.variant, validation
        )
        finished = trainer.run()
        if processes.is_first:
            processes.say(describe_next(stage, finished))
            print(finished)


def _load_model(
    arguments: argparse.Namespace, stage: Stage, folder: ModelFolder, device: torch.device
) -> AlignmentModel:
    lora = LoraSettings(stage.lora_rank, stage.lora_alpha, stage.lora_dropout)
    model = AlignmentModel.load(
        folder,
        arguments.variant,
        fresh=starts_from_new_projection(arguments),
        initial_scale=stage.initial_scale,
        seed=arguments.seed,
        device=device,
        lora=lora if stage.lora_rank else None,
        frozen=FrozenSettings(
            arguments.language_model_bits, arguments.vision_dtype, arguments.checkpoint_gradients
        ),
    )
    if arguments.projection:
        model.load_projection(arguments.projection)
    keep = arguments.keep_features
    if isinstance(keep, Path):
        model.cache_features(FeatureCache(folder=keep / identify_encoder(model.encoder)))
    elif keep > 0:
        model.cache_features(FeatureCache(int(keep * 1e9)))
    return model


def _estimate(arguments: argparse.Namespace, stage: Stage) -> None:
    on_gpu = arguments.device.startswith("cuda") or (
        arguments.device == "auto" and torch.cuda.is_available()
    )
    parts = estimate_memory(
        Sizes.read(ModelFolder.open(arguments.model), arguments.variant),
        stage,
        2 if on_gpu else 4,
        bits=arguments.language_model_bits,
        checkpoint_gradients=arguments.checkpoint_gradients,
    )
    print(
        f"Estimated memory of one {'GPU' if on_gpu else 'process on the CPU'}: batches of "
        f"{stage.batch}, {stage.target_tokens} target tokens, one image a sample"
    )
    for line in format_estimate(parts):
        print(line)
