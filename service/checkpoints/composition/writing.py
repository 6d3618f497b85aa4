"""Making the folder of a composed model, with a random projection that ``align`` trains."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from service import __version__
from service.checkpoints.composition.language import LanguagePart, open_language
from service.checkpoints.composition.vision import VisionChoice, VisionPart, open_vision
from service.errors import CheckpointError
from service.families import COMPOSED
from service.model_folder.layout import ModelIndex, Provenance, write_index
from service.vision.choice import make_encoder
from service.vision.weights import save_vision_encoder

Report = Callable[[str], None]
Placement = Literal["reference", "copy"]

UNTRAINED = "The projection is random: answers mean nothing until `align` has trained it."


def compose(
    target: Path,
    vision: VisionChoice,
    language_model: str,
    template: Path | None = None,
    placement: Placement = "reference",
    seed: int = 0,
    report: Report = print,
) -> ModelIndex:
    """Write a model folder of a vision model and a language model; return its index.

    Raises:
        CheckpointError: a part cannot be used, or the folder cannot be written.
        ModelFolderError: transformers has no such vision model.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} exists and is not an empty folder; give a new one.")
    language = open_language(language_model, template)
    part = open_vision(vision, language.hidden_size)
    for note in part.notes:
        report(note)
    try:
        return _write(target, vision, part, language, placement, seed)
    except OSError as error:
        raise CheckpointError(f"{target} could not be written: {error}") from error


def _write(
    target: Path,
    choice: VisionChoice,
    vision: VisionPart,
    language: LanguagePart,
    placement: Placement,
    seed: int,
) -> ModelIndex:
    target.mkdir(parents=True, exist_ok=True)
    _write_vision(target / "vision", vision, seed)
    _write_tokenizer(target / "tokenizer", language)
    reference = language.reference
    if placement == "copy" and Path(reference).is_dir():
        shutil.copytree(reference, target / "language_model")
        reference = "language_model"
    index = ModelIndex(
        family=COMPOSED,
        image_size=vision.config.image_size,
        visual_tokens=vision.config.visual_tokens,
        language_model=reference,
        architecture=language.architecture,
        turn=language.turn,
        stop=language.stop,
        provenance=Provenance(
            made_by=f"compose {__version__}",
            sources={
                "vision": {"name": choice.source},
                "language_model": {"name": language.reference},
            },
            notes=[UNTRAINED, *vision.notes],
        ),
    )
    write_index(target, index)
    return index


def _write_vision(folder: Path, part: VisionPart, seed: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = make_encoder(part.config)
    dtype = next(iter(part.tensors.values())).dtype
    encoder.to(dtype).load_state_dict(part.tensors, strict=False)
    save_vision_encoder(encoder, folder)


def _write_tokenizer(folder: Path, language: LanguagePart) -> None:
    folder.mkdir()
    language.tokenizer.save_pretrained(folder)
    # vLLM logs a warning when there is no model configuration beside a tokenizer.
    (folder / "config.json").write_text(json.dumps({"model_type": language.model_type}) + "\n")
