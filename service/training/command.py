"""``align``: train the projection of a model folder."""

import argparse
import os
import sys

from service.model_folder.layout import ModelFolder
from service.training.arguments import (
    add_arguments,
    check_arguments,
    parse_data_sets,
    select_stage,
)
from service.training.initial_projection import check_folder_options, starts_from_new_projection
from service.training.model import AlignmentModel
from service.training.processes import join_processes
from service.training.run_settings import RunSettings
from service.training.sources import open_data_set
from service.training.trainer import Trainer

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
    locations, ratios = parse_data_sets(arguments.data)
    settings = RunSettings(
        out=arguments.out,
        seed=arguments.seed,
        workers=arguments.workers,
        checkpoint_steps=arguments.checkpoint_steps,
        strict=arguments.strict,
        copy_language_model=arguments.copy_language_model,
    )
    with join_processes(arguments.device) as processes:
        sources = [open_data_set(location) for location in locations]
        folder = ModelFolder.open(arguments.model)
        check_folder_options(arguments, folder)
        model = AlignmentModel.load(
            folder,
            arguments.variant,
            fresh=starts_from_new_projection(arguments),
            initial_scale=stage.initial_scale,
            seed=arguments.seed,
            device=processes.device,
        )
        if arguments.projection:
            model.load_projection(arguments.projection)
        if arguments.keep_features > 0:
            model.cache_features(int(arguments.keep_features * 1e9))
        trainer = Trainer(model, stage, sources, ratios, settings, processes, arguments.variant)
        finished = trainer.run()
        if processes.is_first:
            print(finished)
