"""Checks of a model folder before anything is started; each message says what to do."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from service.errors import ModelFolderError
from service.families import COMPOSED, IMAGE_TOKEN
from service.model_folder.layout import INDEX_FILE, ModelFolder
from service.model_folder.vision_config import (
    WEIGHTS_FILE,
    VisionConfig,
    format_width,
    load_vision_config,
)


def validate(folder: ModelFolder) -> None:
    """Check that all parts are there and fit together; read only the weights' headers.

    Raises:
        ModelFolderError: with the first problem found.
    """
    vision = _check_vision(folder)
    tokenizer = _check_tokenizer(folder.tokenizer)
    if folder.language_model_is_local:
        _check_language_model(folder, vision, tokenizer)
    elif _looks_like_path(folder.index.language_model):
        raise ModelFolderError(
            f"The language model {folder.index.language_model} is not there. Set `language_model` in "
            f"{folder.root / INDEX_FILE} to the folder of a Hugging Face Llama or Vicuna."
        )


def _check_vision(folder: ModelFolder) -> VisionConfig:
    config = load_vision_config(folder.vision)
    weights = folder.vision / WEIGHTS_FILE
    if not weights.is_file():
        raise ModelFolderError(f"{weights} is missing: the vision part is incomplete.")
    _check_weights_file(weights)
    index = folder.index
    for field, in_index, in_config in (
        ("image_size", index.image_size, config.image_size),
        ("visual_tokens", index.visual_tokens, config.visual_tokens),
    ):
        if in_index != in_config:
            raise ModelFolderError(
                f"{INDEX_FILE} gives {field} {in_index}, but the encoder in {folder.vision} has "
                f"{in_config}. One of them belongs to another model."
            )
    needs_qformer = folder.family.uses_qformer and not index.without_qformer
    if index.family != COMPOSED and (config.qformer is not None) != needs_qformer:
        has = "has a" if config.qformer else "has no"
        raise ModelFolderError(
            f"The encoder in {folder.vision} {has} Q-Former, which does not fit family "
            f"{index.family}. Check that `family` is the one that the checkpoint was made for."
        )
    return config


def _check_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    if not (folder / "tokenizer.json").is_file():
        raise ModelFolderError(
            f"{folder} holds no tokenizer.json. `import` converts an old tokenizer.model."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise ModelFolderError(f"The tokenizer in {folder} cannot be loaded: {error}") from error
    if tokenizer.encode(IMAGE_TOKEN, add_special_tokens=False) != [
        tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    ]:
        raise ModelFolderError(
            f"The tokenizer in {folder} does not know {IMAGE_TOKEN} as one token. Use the tokenizer "
            "that `import` or `init-model` writes, not the language model's own."
        )
    if not tokenizer.chat_template:
        raise ModelFolderError(
            f"{folder} holds no chat_template.jinja, so the family's conversation format is unknown."
        )
    return tokenizer


def _check_language_model(
    model_folder: ModelFolder, vision: VisionConfig, tokenizer: PreTrainedTokenizerBase
) -> None:
    folder = Path(model_folder.language_model)
    config = _read_config(folder / "config.json")
    if model_folder.index.family != COMPOSED and config.get("model_type") != "llama":
        raise ModelFolderError(
            f"{folder} is a {config.get('model_type')} model; MiniGPT-4 needs a Llama or Vicuna."
        )
    width = config.get("hidden_size")
    if width != vision.hidden_size:
        raise ModelFolderError(
            f"The projection is {format_width(vision.hidden_size)} wide, the language model in "
            f"{folder} {format_width(width)}. Use a projection and a language model of the same size."
        )
    text_tokens = len(tokenizer) - 1  # <ImageHere> is replaced before the engine sees it
    if text_tokens > int(config.get("vocab_size", 0)):
        raise ModelFolderError(
            f"The tokenizer has {text_tokens} tokens, the language model in {folder} has embeddings "
            f"for {config.get('vocab_size')}. They belong to different models."
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelFolderError(
            f"{folder} holds no .safetensors weights; .bin files are not loaded, because they can "
            "run code. Convert them once with transformers' save_pretrained, or use `import`."
        )
    for file in weights:
        _check_weights_file(file)


def _check_weights_file(file: Path) -> None:
    """Check that the header fits the file's length, which fails after a broken download or copy."""
    try:
        file.open("rb").close()  # safetensors reports a file without read permission as missing
    except PermissionError:
        raise ModelFolderError(f"{file} may not be read by this user.") from None
    except OSError as error:
        raise ModelFolderError(f"{file} cannot be read ({error.strerror}).") from error
    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(
            f"{file} cannot be read ({error}). Copy or download it again."
        ) from error


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        raise ModelFolderError(
            f"{file} is missing, so this is not a Hugging Face model folder."
        ) from None
    except (ValueError, OSError) as error:
        raise ModelFolderError(f"{file} cannot be read: {error}") from error
    return config


def _looks_like_path(reference: str) -> bool:
    # A hub id is NAME or OWNER/NAME.
    return reference.startswith((".", "/", "~")) or reference.count("/") != 1
