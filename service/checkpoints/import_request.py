"""The arguments of an import."""

from dataclasses import dataclass, field
from pathlib import Path

from service.checkpoints.encoder.plan import SizeOptions
from service.checkpoints.language_model.writing import Placement


@dataclass(frozen=True)
class ImportRequest:
    """The published files, and the model folder to make of them.

    Attributes:
        target: The new model folder.
        vit, qformer, projection, language_model, tokenizer: Paths; all but ``projection`` also take
            hub ids.
        placement: How the language model gets into the folder; ignored when it must be written
            anew.
        lora_alpha: Scale of LoRA updates; None means the checkpoint's own value, or else
            MiniGPT-v2's 16.
        merged_already: The language model already contains MiniGPT-v2's LoRA weights.
    """

    target: Path
    family: str
    projection: str
    language_model: str
    vit: str | None = None
    qformer: str | None = None
    tokenizer: str | None = None
    placement: Placement = "reference"
    sizes: SizeOptions = field(default_factory=SizeOptions)
    lora_alpha: float | None = None
    merged_already: bool = False
