"""The summary of an import, printed before it starts; with ``--dry-run``, nothing else happens."""

from collections.abc import Iterator

from service.checkpoints.import_plan import ImportPlan
from service.model_folder.quantisation import KEY, describe_quantisation
from service.model_folder.vision_config import WEIGHTS_FILE
from service.tensors.byte_size import format_bytes


def summarise(plan: ImportPlan) -> Iterator[str]:
    """Yield the lines that tell the user what the import will do."""
    config, request = plan.encoder.config, plan.request
    yield (
        f"{request.target}: {plan.family.name}, {config.image_size} px, {config.visual_tokens} "
        f"embeddings of width {config.hidden_size} an image"
    )
    vit = config.vit
    yield (
        f"  ViT: {vit.num_hidden_layers} layers, width {vit.hidden_size}, "
        f"{vit.num_attention_heads} heads"
    )
    if config.qformer:
        yield (
            f"  Q-Former: {config.qformer.num_hidden_layers} layers, width "
            f"{config.qformer.hidden_size}, {config.qformer.query_tokens} query tokens"
        )
    total = sum(tensor.bytes for tensor in plan.encoder.tensors.values())
    yield f"  vision/{WEIGHTS_FILE}: {len(plan.encoder.tensors)} tensors, {format_bytes(total)}"
    for source in plan.sources:
        yield f"  {source.role}: {source.path}, {len(source.renamed.tensors)} known tensors"
        for reason, names in source.renamed.ignored.items():
            yield f"    left out, as in the original: {reason} ({len(names)} tensors)"
    yield f"  language model: {plan.language_model.source}, {_describe_placement(plan)}"
    if quantisation := plan.language_model.config.get(KEY):
        yield f"    quantised: {describe_quantisation(quantisation)}"
    yield f"  tokenizer: {plan.tokenizer_files[0]}, {plan.tokenizer.get_vocab_size()} pieces"
    yield f"  disk space: {format_bytes(plan.bytes_written)}"
    for warning in plan.warnings:
        yield f"  warning: {warning}"


def _describe_placement(plan: ImportPlan) -> str:
    if plan.updates:
        return f"merged with {len(plan.updates)} LoRA updates into a new language_model/"
    if plan.language_model.is_pickled:
        return "converted to safetensors in a new language_model/: the service loads no .bin files"
    return {"reference": "referenced", "link": "hard-linked", "copy": "copied"}[
        plan.request.placement
    ]
