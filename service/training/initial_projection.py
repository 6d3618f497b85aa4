"""The projection that ``align`` starts from, by its arguments; what would do nothing is refused."""

import argparse

from service.errors import AlignmentError
from service.model_folder.layout import ModelFolder
from service.training.model import needs_new_projection
from service.training.presets import PRESETS


def starts_anew(arguments: argparse.Namespace) -> bool:
    """Whether the run starts from a new random projection, unless a file of one is given."""
    if PRESETS[arguments.preset].name == "stage1":
        return not arguments.keep_projection
    return bool(arguments.new_projection)


def check_start(arguments: argparse.Namespace) -> None:
    """Refuse what would change nothing about the projection that a run starts from.

    Raises:
        AlignmentError: an option that this run would not heed.
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
    if arguments.initial_scale is not None and (arguments.projection or not starts_anew(arguments)):
        raise AlignmentError(
            "--initial-scale is of a new projection, and this run does not start from one"
            + (f" but from {given[0]}." if given else "; --new-projection asks for one.")
        )


def check_folder(arguments: argparse.Namespace, folder: ModelFolder) -> None:
    """Refuse what the folder's own form cannot give.

    Raises:
        AlignmentError: a trained projection would be dropped without a word, or there is nothing to copy.
    """
    if (
        needs_new_projection(folder, arguments.variant)
        and not starts_anew(arguments)
        and arguments.projection is None
    ):
        raise AlignmentError(
            f"The projection of {arguments.model} has not the form that --variant {arguments.variant} "
            "trains, so it would be dropped for a random one. Train that form in stage 1 first, give a "
            "--projection of it, or ask for a random one with "
            + ("--new-projection." if not arguments.keep_projection else "no --keep-projection.")
        )
    if arguments.copy_language_model and not folder.language_model_is_local:
        raise AlignmentError(
            f"--copy-language-model: {folder.language_model} is no folder on this disk. Leave it "
            "out, or make the folder with `import --llm-files copy`."
        )
