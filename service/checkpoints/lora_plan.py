"""The LoRA updates of an import, and whether the checkpoint belongs to the chosen family."""

from collections.abc import Mapping

from service.checkpoints.encoder.source import Source
from service.checkpoints.import_request import ImportRequest
from service.checkpoints.layouts.minigpt4 import read_training_option
from service.checkpoints.lora import DEFAULT_ALPHA, LoraUpdate, is_lora, read_lora_updates
from service.checkpoints.messages import list_names
from service.errors import CheckpointError


def plan_lora(request: ImportRequest, projection: Source) -> Mapping[str, LoraUpdate]:
    """Return the updates to merge: those of MiniGPT-v2, unless they are merged already.

    Raises:
        CheckpointError: the checkpoint trains the language model in a way that its family does not.
    """
    _refuse_trained_language_model(projection)
    has_lora = any(is_lora(name) for name in projection.checkpoint.tensors)
    if has_lora and request.family != "minigpt-v2":
        raise CheckpointError(
            f"{projection.path} holds LoRA weights for the language model: it is a MiniGPT-v2 "
            "checkpoint. Import it with --family minigpt-v2."
        )
    if request.family != "minigpt-v2" or request.merged_already:
        return {}
    if not has_lora:
        raise CheckpointError(
            f"{projection.path} holds no LoRA weights, so it is not a MiniGPT-v2 checkpoint; import a "
            "checkpoint of MiniGPT-4 with Llama-2 with --family minigpt4-llama2. If the language model "
            "that you give already contains them, add --merged-already."
        )
    return read_lora_updates(projection.checkpoint.tensors, _choose_alpha(request, projection))


def _refuse_trained_language_model(projection: Source) -> None:
    trained = [
        name
        for name in projection.renamed.unexpected
        if name.startswith("llama_model.") and not name.endswith((".SCB", ".weight_format"))
    ]
    if trained:
        raise CheckpointError(
            f"{projection.path} also holds weights of the language model itself, which this importer "
            f"does not merge: {list_names(trained, 4)}."
        )


def _choose_alpha(request: ImportRequest, projection: Source) -> float:
    if request.lora_alpha is not None:
        return request.lora_alpha
    trained = read_training_option(projection.checkpoint.training, "lora_alpha")
    return float(trained) if isinstance(trained, int | float) else DEFAULT_ALPHA
