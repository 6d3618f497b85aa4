"""The models that come with the service, by name."""

import difflib
from importlib.resources import as_file, files
from pathlib import Path

from filelock import FileLock

from service.errors import ModelFolderError
from service.model_folder.layout import INDEX_FILE, ModelFolder
from service.serve.folders import make_cache

DEFAULT = "default"
NAMES = (DEFAULT, "demo", "tiny")
TINY_FAMILY = "minigpt4-vicuna"


def resolve_model(name_or_folder: str, cache: Path) -> ModelFolder:
    """Open a model folder, or one of our models by its name.

    ``demo`` is the small trained model in the package. ``tiny`` is a random one, written into
    ``cache`` once. ``default`` is ``demo`` where the package has it, otherwise ``tiny``. A folder
    with such a name in the working directory is given as ``./tiny``.

    Raises:
        ModelFolderError: there is no such model, or the folder is not a model folder.
        SettingsError: ``tiny`` cannot be written into ``cache``.
    """
    demo = files("service").joinpath("models", "demo")
    if name_or_folder == DEFAULT:
        name_or_folder = "demo" if demo.joinpath(INDEX_FILE).is_file() else "tiny"
    if name_or_folder == "demo":
        with as_file(demo) as folder:
            return ModelFolder.open(folder)
    if name_or_folder == "tiny":
        return ModelFolder.open(_make_tiny(cache))
    folder = Path(name_or_folder).expanduser()
    if folder.name == name_or_folder and not folder.exists():
        raise ModelFolderError(_explain_unknown(name_or_folder))
    return ModelFolder.open(folder)


def _explain_unknown(name: str) -> str:
    nearest = difflib.get_close_matches(name, NAMES, n=1)
    advice = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return (
        f"There is no model {name!r}. {advice}--model takes the path of a model folder, or the "
        f"name of a model that comes with the service: {', '.join(NAMES)}."
    )


def _make_tiny(cache: Path) -> Path:
    folder = cache / "tiny"
    if (folder / INDEX_FILE).is_file():
        return folder
    # It imports torch, which takes seconds.
    from service.checkpoints.random_model import init_model

    make_cache(cache)
    with FileLock(cache / "tiny.lock"):
        if not (folder / INDEX_FILE).is_file():
            init_model(folder, TINY_FAMILY, "tiny")
    return folder
