"""Which projection a run of ``align`` starts from; options without effect are refused."""

import argparse

from service.errors import AlignmentError
from service.model_folder.layout import ModelFolder
from service.training.presets import PRESETS
from service.training.trained_parts import needs_new_projection


def starts_from_new_projection(arguments: argparse.Namespace) -> bool:
    """Return whether a run without ``--projection`` starts from a new random projection."""
    if PRESETS[arguments.preset].name == "stage1":
        return not arguments.keep_projection
    return bool(arguments.new_projection)


def check_start_options(arguments: argparse.Namespace) -> None:
    """Refuse options that would not change which projection the run starts from.

    Raises:
        AlignmentError: an option has no effect, or two options contradict each other.
    """
    stage = PRESETS[arguments.preset].name
    if stage == "stage1" and arguments.new_projection:
        raise AlignmentError(
            "--new-projection is for stage 2; stage 1 starts from a new one anyway."
        )
    if stage == "stage2" and arguments.keep_projection:
        raise AlignmentError("--keep-projection is for stage 1; stage 2 keeps the folder's anyway.")
    starts = {
        "--projection": arguments.projection is not None,
        "--keep-projection": arguments.keep_projection,
        "--new-projection": arguments.new_projection,
    }
    given = [name for name, is_given in starts.items() if is_given]
    if len(given) > 1:
        raise AlignmentError(f"{' and '.join(given)}: a run starts from one projection; give one.")
    starts_anew = starts_from_new_projection(arguments)
    if arguments.initial_scale is not None and (arguments.projection or not starts_anew):
        raise AlignmentError(
            "--initial-scale is for a new projection, and this run does not start from one"
            + (f" but from {given[0]}." if given else "; --new-projection asks for one.")
        )


def check_folder_options(arguments: argparse.Namespace, folder: ModelFolder) -> None:
    """Refuse what the model folder cannot give.

    Raises:
        AlignmentError: a trained projection would be lost, or there is no language model to copy.
    """
    if (
        needs_new_projection(folder, arguments.variant)
        and not starts_from_new_projection(arguments)
        and arguments.projection is None
    ):
        raise AlignmentError(
            f"The projection of {arguments.model} does not have the form that --variant "
            f"{arguments.variant} trains, so it would be dropped for a random one. Train that form "
            "in stage 1 first, give a --projection of that form, or ask for a random one "
            + (
                "with --new-projection."
                if not arguments.keep_projection
                else "without --keep-projection."
            )
        )
    if arguments.copy_language_model and not folder.language_model_is_local:
        raise AlignmentError(
            f"--copy-language-model: {folder.language_model} is not a folder on this disk. Leave "
            "the option out, or make the model folder with `import --llm-files copy`."
        )
