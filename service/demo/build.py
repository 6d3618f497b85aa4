"""Build the default model from seed: two sides, stage 1, stage 2, and one finished model folder."""

import shutil
import sys
import time
from pathlib import Path

import torch

from service.demo.base_model import write_base_model
from service.demo.model_card import ABOUT, make_model_card
from service.demo.recipe import FULL, Recipe
from service.errors import AlignmentError
from service.model_folder.layout import ModelFolder, write_index
from service.scenes.datasets import write_captions, write_descriptions, write_examples
from service.training.feature_cache import FeatureCache
from service.training.model import AlignmentModel
from service.training.processes import Processes
from service.training.run_settings import RunSettings
from service.training.samples import Source
from service.training.sources import open_data_set
from service.training.trained_parts import Variant
from service.training.trainer import Trainer

_CACHED_FEATURES = 10**9
"""Most bytes of cached features; each picture comes several times."""


def build_demo(
    out: Path,
    work: Path,
    recipe: Recipe = FULL,
    variant: Variant = "published",
    stages: tuple[str, ...] = ("stage1", "stage2"),
) -> Path:
    """Build the default model, or resume the build in ``work``.

    Args:
        out: Folder of the finished model.
        work: Folder for checkpoints and data sets; a few hundred MB.
        recipe: How much of everything.
        variant: Another projection, for the ablation.
        stages: ``("stage1",)`` stops after stage 1, for the ablation.

    Returns:
        The folder of the finished model.

    Raises:
        AlignmentError: ``work`` belongs to another recipe, or something cannot be written.
    """
    started = time.monotonic()
    _check_recipe(work, recipe)
    base = work / "base"
    if not (base / "model_index.json").exists():
        _say("Training the text side, which never sees an image, and the vision side.")
        write_base_model(base, work, recipe)
    _write_data_sets(work, recipe)
    folder = base
    for name in stages:
        folder = _align(name, folder, work, recipe, variant)
    _write_finished(folder, out)
    write_examples(out / "examples")
    (out / "examples" / "about.txt").write_text(f"{ABOUT}\n")
    (out / "MODEL_CARD.md").write_text(make_model_card(out))
    _say(f"{out} is ready after {time.monotonic() - started:.0f} s in this run.")
    return out


def _check_recipe(work: Path, recipe: Recipe) -> None:
    """Refuse a folder with checkpoints and data sets of another recipe."""
    file, text = work / "recipe.txt", f"{recipe}\n"
    if file.exists() and file.read_text() != text:
        raise AlignmentError(f"{work} holds the work of another recipe. Give another --work.")
    work.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _write_data_sets(work: Path, recipe: Recipe) -> None:
    done = work / "data" / "done"
    if not done.exists():
        write_captions(work / "data" / "captions", recipe.captions)
        write_descriptions(work / "data" / "descriptions", recipe.descriptions)
        done.write_text("")


def _align(name: str, folder: Path, work: Path, recipe: Recipe, variant: Variant) -> Path:
    """Run one stage on the CPU; returns the trained model folder."""
    stage = recipe.stage1 if name == "stage1" else recipe.stage2
    data = work / "data" / ("captions" if name == "stage1" else "descriptions")
    suffix = "" if variant == "published" else f"-{variant}"
    settings = RunSettings(
        out=work / f"{name}{suffix}",
        workers=1,
        checkpoint_steps=100,
        copy_language_model=True,
        notes=("Synthetic scenes only; see MODEL_CARD.md.",),
    )
    _say(f"{name}{suffix}: only the projection learns.")
    model = AlignmentModel.load(
        ModelFolder.open(folder),
        variant,
        fresh=name == "stage1",
        initial_scale=stage.initial_scale,
    )
    model.cache_features(FeatureCache(_CACHED_FEATURES))
    sources: list[Source] = [open_data_set(str(data))]
    alone = Processes(0, 1, torch.device("cpu"))
    return Trainer(model, stage, sources, [1.0], settings, alone, variant).run()


def _write_finished(folder: Path, out: Path) -> None:
    for part in ("vision", "tokenizer", "language_model"):
        shutil.copytree(folder / part, out / part, dirs_exist_ok=True)
    # Sampling does not improve facts, and an object's colour may well come twice.
    sampling = {"temperature": 0.0, "repetition_penalty": 1.0}
    index = ModelFolder.open(folder).index.model_copy(update={"sampling": sampling})
    write_index(out, index)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
