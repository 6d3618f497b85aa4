"""The models that come with the service, by name."""

from importlib.resources import as_file, files
from pathlib import Path

from filelock import FileLock

from service.checkpoints.random_model import init_model
from service.model_folder.layout import INDEX_FILE, ModelFolder

DEFAULT = "default"
TINY_FAMILY = "minigpt4-vicuna"


def resolve_model(name_or_folder: str, cache: Path) -> ModelFolder:
    """Open a model folder, or one of our models by its name.

    ``demo`` is the small trained model in the package. ``tiny`` is a random one, written into ``cache`` once.
    ``default`` is ``demo`` where the package has it, otherwise ``tiny``. A folder with such a name in the
    working directory is given as ``./tiny``.
    """
    demo = files("service").joinpath("models", "demo")
    if name_or_folder == DEFAULT:
        name_or_folder = "demo" if demo.joinpath(INDEX_FILE).is_file() else "tiny"
    if name_or_folder == "demo":
        with as_file(demo) as folder:
            return ModelFolder.open(folder)
    if name_or_folder == "tiny":
        return ModelFolder.open(_tiny(cache))
    return ModelFolder.open(Path(name_or_folder).expanduser())


def _tiny(cache: Path) -> Path:
    folder = cache / "tiny"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "tiny.lock"):
        if not (folder / INDEX_FILE).is_file():
            init_model(folder, TINY_FAMILY, "tiny")
    return folder
