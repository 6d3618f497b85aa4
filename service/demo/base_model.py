"""The model folder that alignment starts from: two trained sides with a random projection."""

import os
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.multiprocessing.spawn import ProcessExitedException, spawn
from transformers import GenerationConfig, LlamaForCausalLM

from service import __version__
from service.demo.recipe import Recipe
from service.demo.text_side.rounds import train_text_side
from service.demo.text_side.tokenizer import learn_tokenizer
from service.demo.vision_side.model import make_vision_config
from service.demo.vision_side.rounds import train_vision_side
from service.errors import AlignmentError
from service.families import FAMILIES
from service.model_folder.layout import ModelIndex, Provenance, write_index
from service.prompt.tokenizer import write_tokenizer
from service.vision.model import VisionEncoder
from service.vision.weights import save_vision_encoder

FAMILY = FAMILIES["minigpt4-vicuna"]


def write_base_model(folder: Path, work: Path, recipe: Recipe) -> None:
    """Train both sides, or resume, and write a model folder with a random projection.

    Args:
        work: Folder of the checkpoints.

    Raises:
        AlignmentError: a side cannot be trained, or its checkpoint cannot be written.
    """
    tokenizer = learn_tokenizer()
    _train_both_sides(tokenizer, work, recipe)
    llama, trained = _train_text(tokenizer, work, recipe), _train_vision(work, recipe)
    _write_language_model(llama, folder / "language_model")
    write_tokenizer(tokenizer, FAMILY, folder / "tokenizer")
    config = make_vision_config(llama.config.hidden_size)
    torch.manual_seed(0)
    encoder = VisionEncoder(config)
    state = {k: v for k, v in trained.state_dict().items() if not k.startswith("projection.")}
    encoder.load_state_dict(state, strict=False)
    save_vision_encoder(encoder.to(torch.bfloat16), folder / "vision")
    index = ModelIndex(
        family=FAMILY.name,
        image_size=config.image_size,
        visual_tokens=config.visual_tokens,
        provenance=Provenance(
            made_by=f"build-demo {__version__}",
            notes=["Two sides that were trained apart: the projection is random."],
        ),
    )
    write_index(folder, index)


def _train_both_sides(tokenizer: Tokenizer, work: Path, recipe: Recipe) -> None:
    """Train both sides to the end, in a process each, because neither needs the other."""
    threads = max(torch.get_num_threads() // 2, 1)
    try:
        # If one fails, spawn stops the other.
        spawn(_train_side, (tokenizer, work, recipe, threads), nprocs=2)
    except ProcessExitedException as error:
        raise AlignmentError("The build has stopped; run again to resume it.") from error


def _train_side(
    number: int, tokenizer: Tokenizer, work: Path, recipe: Recipe, threads: int
) -> None:
    torch.set_num_threads(threads)
    try:
        if number == 0:
            _train_text(tokenizer, work, recipe)
        else:
            # The text side takes longest, and both sides with their data have more processes than
            # cores.
            os.nice(10)
            _train_vision(work, recipe)
    except AlignmentError as error:
        # The message alone, instead of the traceback that spawn would print.
        sys.exit(str(error))


def _train_text(tokenizer: Tokenizer, work: Path, recipe: Recipe) -> LlamaForCausalLM:
    return train_text_side(tokenizer, work / "text.pt", recipe.text)


def _train_vision(work: Path, recipe: Recipe) -> VisionEncoder:
    return train_vision_side(work / "vision.pt", recipe.vision, recipe.reading, recipe.telling)


def _write_language_model(llama: LlamaForCausalLM, folder: Path) -> None:
    llama = llama.to(torch.bfloat16)  # type: ignore[arg-type]
    llama.config.dtype = torch.bfloat16
    llama.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2)
    llama.save_pretrained(folder)
