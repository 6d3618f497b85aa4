"""The demo model from seed: text side, vision side, stage 1, stage 2, one model folder."""

import os
import shutil
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.multiprocessing.spawn import ProcessExitedException, spawn
from transformers import GenerationConfig, LlamaForCausalLM

from service import __version__
from service.demo.card import model_card
from service.demo.fit import Schedule
from service.demo.text_side import LM_SCHEDULE, TextRounds, train_text
from service.demo.tokens import learn_tokenizer
from service.demo.vision_side import (
    READING_SCHEDULE,
    TELLING_SCHEDULE,
    VISION_SCHEDULE,
    train_vision,
    vision_config,
)
from service.errors import AlignmentError
from service.families import FAMILIES
from service.model_folder.layout import ModelFolder, ModelIndex, Provenance, write_index
from service.prompt.tokenizer import write_tokenizer
from service.scenes.datasets import SAMPLES, write_captions, write_descriptions, write_examples
from service.training.model import AlignmentModel
from service.training.presets import PRESETS, Stage
from service.training.processes import Processes
from service.training.run_settings import RunSettings
from service.training.samples import Source
from service.training.sources import open_data_set
from service.training.trainer import Trainer
from service.training.variants import Variant
from service.vision.model import VisionEncoder
from service.vision.weights import save_vision_encoder

FAMILY = FAMILIES["minigpt4-vicuna"]

_KEPT_FEATURES = 10**9
"""Bytes of an encoder's features that are kept: each picture comes several times."""


@dataclass(frozen=True)
class Recipe:
    """How much of everything: the real one, or a short one that only shows that it runs.

    Attributes:
        captions, descriptions: Images of the two stages' data sets.
    """

    text: TextRounds = field(default_factory=TextRounds)
    vision: Schedule = VISION_SCHEDULE
    reading: Schedule = READING_SCHEDULE
    telling: Schedule = TELLING_SCHEDULE
    captions: int = SAMPLES["captions"]
    descriptions: int = SAMPLES["descriptions"]
    stage1: Stage = PRESETS["demo-stage1"]
    stage2: Stage = PRESETS["demo-stage2"]


FULL = Recipe()
_SHORT = replace(LM_SCHEDULE, steps=2, batch=2, warmup=1)
QUICK = Recipe(
    text=TextRounds(*(_SHORT,) * 8),
    vision=replace(VISION_SCHEDULE, steps=2, batch=2, warmup=1),
    reading=replace(READING_SCHEDULE, steps=2, batch=2, warmup=1),
    telling=replace(TELLING_SCHEDULE, steps=2, batch=2, warmup=1),
    captions=8,
    descriptions=8,
    stage1=replace(PRESETS["demo-stage1"], batch=2, epochs=1, steps_per_epoch=2),
    stage2=replace(PRESETS["demo-stage2"], batch=2, epochs=1, steps_per_epoch=2),
)


def build_demo(
    out: Path,
    work: Path,
    recipe: Recipe = FULL,
    variant: Variant = "published",
    stages: tuple[str, ...] = ("stage1", "stage2"),
) -> Path:
    """Make the demo model; goes on from what ``work`` already holds.

    Args:
        out: Folder of the finished model.
        work: Folder for checkpoints and data sets; a few hundred MB.
        variant, stages: For the ablation: another projection, or stage 1 only.

    Raises:
        AlignmentError: ``work`` is another recipe's, or something cannot be written.
    """
    started = time.monotonic()
    _same_recipe(work, recipe)
    base = work / "base"
    if not (base / "model_index.json").exists():
        _write_base(base, work, recipe)
    _write_data(work, recipe)
    folder = base
    for name in stages:
        folder = _align(name, folder, work, recipe, variant)
    _copy(folder, out)
    write_examples(out / "examples")
    (out / "MODEL_CARD.md").write_text(model_card(out))
    _say(f"{out} is ready after {time.monotonic() - started:.0f} s in this run.")
    return out


def _same_recipe(work: Path, recipe: Recipe) -> None:
    """Checkpoints, base and data sets of another recipe would be taken for this one's."""
    file, text = work / "recipe.txt", f"{recipe}\n"
    if file.exists() and file.read_text() != text:
        raise AlignmentError(f"{work} holds another recipe's work. Give another folder as --work.")
    work.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _write_base(base: Path, work: Path, recipe: Recipe) -> None:
    """The two sides, trained apart, with a projection that means nothing yet."""
    tokenizer = learn_tokenizer()
    _say("A language model that never sees an image; an encoder that never sees the model.")
    _train_sides(tokenizer, work, recipe)
    llama, seeing = _text_side(tokenizer, work, recipe), _vision_side(work, recipe)
    _write_language_model(llama, base / "language_model")
    write_tokenizer(tokenizer, FAMILY, base / "tokenizer")
    config = vision_config(llama.config.hidden_size)
    torch.manual_seed(0)
    encoder = VisionEncoder(config)
    kept = {k: v for k, v in seeing.state_dict().items() if not k.startswith("projection.")}
    encoder.load_state_dict(kept, strict=False)
    save_vision_encoder(encoder.to(torch.bfloat16), base / "vision")
    index = ModelIndex(
        family=FAMILY.name,
        image_size=config.image_size,
        visual_tokens=config.visual_tokens,
        provenance=Provenance(
            made_by=f"build-demo {__version__}",
            notes=["Two sides that have not met: the projection is random."],
        ),
    )
    write_index(base, index)


def _train_sides(tokenizer: Tokenizer, work: Path, recipe: Recipe) -> None:
    """Bring both sides' checkpoints to their ends, in a process each: neither needs the other."""
    threads = max(torch.get_num_threads() // 2, 1)
    try:
        # If one fails, the other is stopped.
        spawn(_train_side, (tokenizer, work, recipe, threads), nprocs=2)
    except ProcessExitedException as error:
        raise AlignmentError("The build has ended; run again to go on.") from error


def _train_side(
    number: int, tokenizer: Tokenizer, work: Path, recipe: Recipe, threads: int
) -> None:
    torch.set_num_threads(threads)
    try:
        if number == 0:
            _text_side(tokenizer, work, recipe)
        else:
            # The text side takes the longest, and the two with their data have more than two processes.
            os.nice(10)
            _vision_side(work, recipe)
    except AlignmentError as error:
        # Its message alone, in place of the traceback that spawn would pass on.
        sys.exit(str(error))


def _text_side(tokenizer: Tokenizer, work: Path, recipe: Recipe) -> LlamaForCausalLM:
    return train_text(tokenizer, work / "text.pt", recipe.text)


def _vision_side(work: Path, recipe: Recipe) -> VisionEncoder:
    return train_vision(work / "vision.pt", recipe.vision, recipe.reading, recipe.telling)


def _write_language_model(llama: LlamaForCausalLM, folder: Path) -> None:
    llama = llama.to(torch.bfloat16)  # type: ignore[arg-type]
    llama.config.dtype = torch.bfloat16
    llama.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2)
    llama.save_pretrained(folder)


def _write_data(work: Path, recipe: Recipe) -> None:
    done = work / "data" / "done"
    if not done.exists():
        write_captions(work / "data" / "captions", recipe.captions)
        write_descriptions(work / "data" / "descriptions", recipe.descriptions)
        done.write_text("")


def _align(name: str, folder: Path, work: Path, recipe: Recipe, variant: Variant) -> Path:
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
    model.cache_features(_KEPT_FEATURES)
    sources: list[Source] = [open_data_set(str(data))]
    alone = Processes(0, 1, torch.device("cpu"))
    return Trainer(model, stage, sources, [1.0], settings, alone, variant).run()


def _copy(folder: Path, out: Path) -> None:
    for part in ("vision", "tokenizer", "language_model"):
        shutil.copytree(folder / part, out / part, dirs_exist_ok=True)
    # It answers with facts: chance makes no better ones, and an object's colour may well come again.
    sampling = {"temperature": 0.0, "repetition_penalty": 1.0}
    index = ModelFolder.open(folder).index.model_copy(update={"sampling": sampling})
    write_index(out, index)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
