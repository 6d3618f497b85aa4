"""The model under alignment: a frozen encoder and language model, and the one part that learns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaForCausalLM

from service.errors import AlignmentError
from service.model_folder.layout import ModelFolder
from service.model_folder.validation import validate
from service.model_folder.vision_config import VisionConfig, load_vision_config
from service.training.feature_cache import FrozenFeatures
from service.training.formats import TokenizedSample
from service.training.identity import file_digest
from service.training.language_model import load_language_model
from service.training.saving import write_folder
from service.vision.model import VisionEncoder
from service.vision.weights import load_vision_encoder

Variant = Literal["published", "no-qformer", "three-layers", "train-qformer"]
"""What learns: one linear layer, or one of the three variants of the paper's ablation (section 4.3)."""

IGNORED = -100


@dataclass
class AlignmentModel:
    """Everything of a model folder, ready for training.

    Attributes:
        encoder: What learns of it, the projection, is in float32; the rest is frozen.
        language_model: Frozen. On a GPU all that is frozen is held in bfloat16, else in float32.
        trained: Names (in the encoder) and parameters that learn; what checkpoints hold.
        start: What the trained tensors were at first, for a person.
        features: Everything before the projection: ``[images, visual_tokens, projection_width]``.
    """

    folder: ModelFolder
    encoder: VisionEncoder
    language_model: LlamaForCausalLM
    tokenizer: Tokenizer
    trained: dict[str, nn.Parameter]
    device: torch.device
    start: str
    features: Callable[[Tensor], Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.features = self.encoder.visual_features

    def keep_features(self, most_bytes: int) -> None:
        """Encode an image that comes again once only, where all that sees it is frozen.

        Args:
            most_bytes: Bytes of features that are kept in memory at most.
        """
        if all(name.startswith("projection.") for name in self.trained):
            self.features = FrozenFeatures(self.encoder.visual_features, most_bytes)

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        variant: Variant = "published",
        *,
        fresh: bool = False,
        initial_scale: float = 1.0,
        seed: int = 0,
        device: torch.device | None = None,
    ) -> "AlignmentModel":
        """Load a model folder for training.

        Args:
            variant: What learns, and the encoder's form for it. A form other than the folder's own
                makes a new projection.
            fresh: Start from a new random projection, as stage 1 does.
            initial_scale: A new projection's last layer is ``nn.Linear``'s random start times this.

        Raises:
            AlignmentError: the language model cannot be loaded or the projection does not fit it.
            ModelFolderError: the folder is not whole, or its parts do not fit together.
        """
        validate(folder)
        device = device or torch.device("cpu")
        stored = load_vision_encoder(folder.vision)
        encoder = _shaped(stored, variant, fresh, seed, initial_scale)
        start = "the folder's projection" if encoder is stored else "a new projection"
        encoder.projection.requires_grad_(True)
        if variant == "train-qformer":
            if encoder.config.qformer is None:
                raise AlignmentError(f"{folder.root} has no Q-Former that could be trained.")
            encoder.qformer.requires_grad_(True)
            encoder.query_tokens.requires_grad_(True)
        try:
            language_model = load_language_model(
                folder.language_model, _frozen_dtype(device), device
            )
        except torch.OutOfMemoryError as error:
            raise AlignmentError(
                f"{device} has too little free memory for the language model {folder.language_model}."
            ) from error
        width = language_model.config.hidden_size
        if encoder.config.hidden_size != width:
            raise AlignmentError(
                f"The projection of {folder.vision} writes {encoder.config.hidden_size} values, but "
                f"the language model {folder.language_model} has a width of {width}."
            )
        tokenizer = Tokenizer.from_file(str(folder.tokenizer / "tokenizer.json"))
        for parameter in encoder.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(_frozen_dtype(device))
        encoder = encoder.to(device)
        trained = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
        return cls(folder, encoder, language_model, tokenizer, trained, device, start)

    def loss(self, pixels: Tensor, samples: list[TokenizedSample]) -> Tensor:
        """Mean next-token loss over the targets' tokens, nothing else.

        Args:
            pixels: ``[samples, image_size, image_size, 3]`` uint8.
        """
        embedded = self.encoder.projection(self.features(pixels.to(self.device)))
        inputs, labels = self._sequences(embedded, samples)
        hidden = self.language_model.model(inputs_embeds=inputs, use_cache=False).last_hidden_state
        known = labels[:, 1:] != IGNORED
        logits = self.language_model.lm_head(hidden[:, :-1][known])
        return functional.cross_entropy(logits.float(), labels[:, 1:][known])

    def _sequences(self, embedded: Tensor, samples: list[TokenizedSample]) -> tuple[Tensor, Tensor]:
        """Inputs ``[samples, length, width]`` and labels ``[samples, length]``, padded at the right.

        Attention is causal: what stands to the right of a sample changes nothing in it.
        """
        table = self.language_model.get_input_embeddings()
        visual = embedded.shape[1]
        length = max(len(s.before) + visual + len(s.after) + len(s.target) for s in samples)
        ids = torch.zeros(len(samples), length, dtype=torch.long)
        labels = torch.full((len(samples), length), IGNORED)
        places = torch.zeros(len(samples), visual, dtype=torch.long)
        for row, sample in enumerate(samples):
            start = len(sample.before)
            end = start + visual + len(sample.after)
            ids[row, :start] = torch.tensor(sample.before)
            ids[row, start + visual : end] = torch.tensor(sample.after, dtype=torch.long)
            ids[row, end : end + len(sample.target)] = torch.tensor(sample.target)
            labels[row, end : end + len(sample.target)] = torch.tensor(sample.target)
            places[row] = torch.arange(start, start + visual)
        inputs = table(ids.to(self.device))
        places = places[..., None].expand(-1, -1, inputs.shape[-1]).to(self.device)
        return inputs.scatter(1, places, embedded.to(inputs.dtype)), labels.to(self.device)

    def load_projection(self, file: Path) -> None:
        """Start from a projection that a training run saved.

        Raises:
            AlignmentError: no such file, or its tensors do not fit.
        """
        try:
            tensors = load_file(file)
        except (OSError, SafetensorError) as error:
            raise AlignmentError(f"{file} cannot be read as safetensors: {error}") from error
        wanted = {name: tuple(parameter.shape) for name, parameter in self.trained.items()}
        found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if wanted != found:
            raise AlignmentError(
                f"{file} does not fit {self.folder.root}: it holds {found}, needed is {wanted}."
            )
        self.restore(tensors)
        self.start = f"a projection of another run ({file_digest(file)})"

    def state(self) -> dict[str, Tensor]:
        """The trained tensors, on the CPU."""
        return {name: p.detach().cpu().contiguous().clone() for name, p in self.trained.items()}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        for name, parameter in self.trained.items():
            parameter.copy_(tensors[name])

    def save_folder(self, target: Path, notes: list[str], *, copy: bool) -> None:
        """Write a complete model folder with what learned as it is now; see :func:`write_folder`."""
        write_folder(self.folder, self.encoder.config, self.state(), target, notes, copy=copy)


def needs_new_projection(folder: ModelFolder, variant: Variant) -> bool:
    """Whether a variant's form is not the folder's own, so that its projection cannot be kept."""
    config = load_vision_config(folder.vision)
    return _variant_config(config, variant) != config


def _shaped(
    encoder: VisionEncoder, variant: Variant, fresh: bool, seed: int, initial_scale: float
) -> VisionEncoder:
    """The encoder in a variant's form, its projection new where the form or ``fresh`` asks for it."""
    config = _variant_config(encoder.config, variant)
    if config == encoder.config and not fresh:
        return encoder
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        shaped = VisionEncoder(config)
    kept = {
        name: tensor
        for name, tensor in encoder.state_dict().items()
        if not name.startswith("projection.") and name in shaped.state_dict()
    }
    shaped.load_state_dict(kept, strict=False)
    shaped.requires_grad_(False)
    last = [layer for layer in shaped.projection.modules() if isinstance(layer, nn.Linear)][-1]
    last.weight.mul_(initial_scale)
    last.bias.mul_(initial_scale)
    return shaped


def _variant_config(config: VisionConfig, variant: Variant) -> VisionConfig:
    if variant == "no-qformer":
        return config.model_copy(update={"qformer": None})
    if variant == "three-layers":
        return config.model_copy(update={"projection_layers": 3})
    return config


def _frozen_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "cpu" else torch.bfloat16
