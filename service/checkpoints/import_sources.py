"""Finding and opening the sources that an import names, on this disk or on the hub."""

from pathlib import Path

from service.checkpoints import hub
from service.checkpoints.encoder.source import Source, open_projection, open_qformer, open_vit
from service.checkpoints.import_request import ImportRequest
from service.checkpoints.language_model.folder import LanguageModel, open_language_model
from service.checkpoints.language_model.tokenizer import TOKENIZER_FILES
from service.checkpoints.layouts.blip2_folder import NEEDED_PREFIXES
from service.errors import CheckpointError
from service.families import Family
from service.model_folder.vision_config import format_width

_VIT_NEEDED = "--vit is needed: eva_vit_g.pth, or a BLIP-2 folder or hub id."


def open_encoder_sources(request: ImportRequest, family: Family) -> tuple[Source, Source | None]:
    """Open the ViT and, for a family that has one, the Q-Former.

    Raises:
        CheckpointError: a source is missing, superfluous or cannot be read.
    """
    if not family.uses_qformer:
        if request.qformer is not None:
            raise CheckpointError(f"{family.name} has no Q-Former: leave --qformer out.")
        if request.vit is None:
            raise CheckpointError(_VIT_NEEDED)
        return open_vit(_find_encoder(request.vit)), None
    if request.qformer is None:
        raise CheckpointError(
            f"{family.name} needs --qformer: blip2_pretrained_flant5xxl.pth, or a BLIP-2 folder or "
            "hub id."
        )
    qformer_path = _find_encoder(request.qformer)
    if request.vit is None and not qformer_path.is_dir():
        raise CheckpointError(_VIT_NEEDED)
    vit_path = qformer_path if request.vit is None else _find_encoder(request.vit)
    return open_vit(vit_path), open_qformer(qformer_path)


def _find_encoder(source: str) -> Path:
    return hub.find_local(source) or hub.download_shards(source, NEEDED_PREFIXES)


def open_projection_source(request: ImportRequest) -> Source:
    """Open the MiniGPT-4 checkpoint, which must be on this disk."""
    path = hub.find_local(request.projection)
    if path is None:
        raise CheckpointError(f"{request.projection}: there is no such file.")
    return open_projection(path)


def open_language_model_source(
    request: ImportRequest, family: Family, projected_width: int
) -> LanguageModel:
    """Open the language model, and download its weights where the import itself needs them.

    Args:
        projected_width: Width of the embeddings that the projection writes.

    Raises:
        CheckpointError: the language model cannot be used, or has another width.
    """
    source = request.language_model
    path = hub.find_local(source)
    if path is not None and not path.is_dir():
        raise CheckpointError(f"{path} is a file; --llm takes a Hugging Face folder or a hub id.")
    is_hub_id = path is None
    folder = path or hub.download(source, (*hub.CONFIGURATION, *hub.TOKENIZER))
    model = open_language_model(source, folder, family.name, is_hub_id, with_weights=not is_hub_id)
    # Checked before gigabytes are downloaded.
    _check_width(projected_width, model)
    if not is_hub_id:
        return model
    patterns = hub.choose_weight_patterns(source)
    merges = family.name == "minigpt-v2" and not request.merged_already
    if not merges and request.placement == "reference" and patterns != hub.PICKLES:
        return model
    folder = hub.download(source, (*hub.CONFIGURATION, *hub.TOKENIZER, *patterns))
    return open_language_model(source, folder, family.name, is_hub_id, with_weights=True)


def _check_width(projected_width: int, model: LanguageModel) -> None:
    if projected_width != model.hidden_size:
        raise CheckpointError(
            f"The projection writes embeddings of width {format_width(projected_width)}, and "
            f"{model.source} reads {format_width(model.hidden_size)}: they belong to models of "
            "different sizes. Use a checkpoint and a language model of the same size."
        )


def find_tokenizer(request: ImportRequest, language_model: LanguageModel) -> Path:
    """Return the folder with the tokenizer's files; download them for a hub id."""
    if request.tokenizer is None:
        return language_model.folder
    path = hub.find_local(request.tokenizer)
    return hub.download(request.tokenizer, TOKENIZER_FILES) if path is None else path
