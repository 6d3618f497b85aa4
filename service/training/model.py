"""The model in training: a frozen encoder and language model, and the projection that learns."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from service.errors import AlignmentError
from service.model_folder.layout import ModelFolder
from service.model_folder.validation import validate
from service.model_folder.vision_config import load_vision_config
from service.training.feature_cache import FeatureCache
from service.training.finished_folder import write_finished_folder
from service.training.identity import digest_file
from service.training.language_model import (
    Bits,
    enable_gradient_checkpointing,
    load_language_model,
)
from service.training.lora import (
    ADAPTER,
    LORA_PREFIX,
    LoraSettings,
    add_lora,
    save_adapter,
    set_dropout,
)
from service.training.sequences import IGNORED, build_sequences
from service.training.tokenization import TokenizedSample
from service.training.trained_parts import Variant, load_encoder, set_qformer_dropout
from service.vision.projected_encoder import ProjectedEncoder

if TYPE_CHECKING:
    from peft import PeftModel

VisionDtype = Literal["auto", "float16"]


@dataclass(frozen=True)
class FrozenSettings:
    """How the frozen parts are kept in memory.

    Attributes:
        bits: Quantise the language model's linear layers to this size; None does not.
        vision_dtype: ``float16`` keeps the ViT as the original does, in float16 with the arithmetic
            in float16. ``auto`` keeps it as the other frozen parts.
        checkpoint_gradients: Compute the language model's layers again in the backward pass.
    """

    bits: Bits | None = None
    vision_dtype: VisionDtype = "auto"
    checkpoint_gradients: bool = False

    def identify(self) -> dict[str, str]:
        """Return the settings that change what is learnt."""
        return {
            "language model bits": str(self.bits or "not quantised"),
            "vision dtype": self.vision_dtype,
        }


@dataclass
class AlignmentModel:
    """The parts of a model folder, ready for training.

    Attributes:
        folder: Where the parts come from.
        encoder: The encoder. Its trained parts are in float32.
        language_model: Frozen. All frozen parts are in bfloat16 on a GPU and in float32 on a CPU.
        tokenizer: Of the language model.
        trained: The parameters that learn, by their names in the encoder, and LoRA's by their names
            in the language model after ``language_model.``; checkpoints hold them.
        device: Where everything is.
        start: Where the trained tensors came from, as a text.
        frozen: How the frozen parts are kept.
        adapter: Owner of the language model's LoRA; None without one.
        features: Computes the projection's input: ``[images, visual_tokens, projection_width]``.
    """

    folder: ModelFolder
    encoder: ProjectedEncoder
    language_model: PreTrainedModel
    tokenizer: Tokenizer
    trained: dict[str, nn.Parameter]
    device: torch.device
    start: str
    frozen: FrozenSettings = FrozenSettings()
    adapter: "PeftModel | None" = None
    features: Callable[[Tensor], Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.features = self._encode
        self.set_dropout(active=True)

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
        lora: LoraSettings | None = None,
        frozen: FrozenSettings | None = None,
    ) -> "AlignmentModel":
        """Load a model folder for training.

        Args:
            variant: The parts that learn. A variant whose form is not the folder's gets a new
                projection.
            fresh: Start from a new random projection, as stage 1 does.
            initial_scale: Factor on the random start of a new projection's last layer.
            seed: Of a new projection and of LoRA's start.
            device: The CPU if not given.
            lora: Train LoRA on the language model beside the projection.
            frozen: How the frozen parts are kept.

        Raises:
            AlignmentError: the language model cannot be loaded, or the projection does not fit it;
                or a package for LoRA or quantised weights is not installed.
            ModelFolderError: the folder is incomplete, or its parts do not fit together.
        """
        validate(folder)
        device, frozen = device or torch.device("cpu"), frozen or FrozenSettings()
        encoder, is_new = load_encoder(
            folder, variant, fresh=fresh, seed=seed, initial_scale=initial_scale
        )
        language_model = _load_language_model(
            folder, encoder.config.hidden_size, device, frozen.bits
        )
        adapter = add_lora(language_model, lora, seed) if lora else None
        if frozen.checkpoint_gradients:
            enable_gradient_checkpointing(language_model)
        tokenizer = Tokenizer.from_file(str(folder.tokenizer / "tokenizer.json"))
        for parameter in encoder.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(_frozen_dtype(device))
        if frozen.vision_dtype == "float16":
            encoder.vision_model.half()
        encoder = encoder.to(device)
        trained = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
        trained |= {
            LORA_PREFIX + name: p
            for name, p in language_model.named_parameters()
            if p.requires_grad
        }
        start = "a new projection" if is_new else "the folder's projection"
        return cls(
            folder, encoder, language_model, tokenizer, trained, device, start, frozen, adapter
        )

    @property
    def trains_qformer(self) -> bool:
        """Whether the Q-Former learns."""
        return any(name.startswith("qformer.") for name in self.trained)

    def set_dropout(self, *, active: bool) -> None:
        """Switch the dropout of what learns on or off: LoRA's and the Q-Former's."""
        if self.adapter is not None:
            set_dropout(self.language_model, active=active)
        if self.trains_qformer:
            set_qformer_dropout(self.encoder, active=active)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Compute losses without gradients and without dropout."""
        self.set_dropout(active=False)
        try:
            with torch.no_grad():
                yield
        finally:
            self.set_dropout(active=True)

    def cache_features(self, cache: FeatureCache) -> None:
        """Keep the features of images that come again, if everything that makes them is frozen."""
        if not self.trains_qformer:
            cache.encode = self._encode
            self.features = cache

    def _encode(self, pixels: Tensor) -> Tensor:
        half = self.frozen.vision_dtype == "float16"
        with torch.autocast(self.device.type, torch.float16) if half else nullcontext():
            return self.encoder.visual_features(pixels)

    def _embed(self, pixels: Tensor) -> Tensor:
        """Return projected embeddings ``[images, visual_tokens, width]`` of any number of images."""
        if len(pixels):
            return self.encoder.projection(self.features(pixels.to(self.device)))
        config = self.encoder.config
        nothing = torch.zeros(0, config.visual_tokens, config.projection_width, device=self.device)
        return self.encoder.projection(nothing)

    def loss(self, pixels: Tensor, samples: list[TokenizedSample]) -> Tensor:
        """Compute the mean next-token loss over the tokens of the targets.

        Args:
            pixels: ``[images, image_size, image_size, 3]`` uint8, of all samples in their order.
            samples: The text around the images.
        """
        embedded = self._embed(pixels)
        table = self.language_model.get_input_embeddings()
        inputs, labels = build_sequences(table, embedded, samples)
        decoder = self.language_model.base_model
        hidden = decoder(inputs_embeds=inputs, use_cache=False).last_hidden_state
        known = labels[:, 1:] != IGNORED
        logits = self._compute_logits(hidden[:, :-1][known])
        return functional.cross_entropy(logits, labels[:, 1:][known])

    def _compute_logits(self, hidden: Tensor) -> Tensor:
        """Compute float32 logits of chosen positions only, which saves most of the memory."""
        logits = self.language_model.get_output_embeddings()(hidden).float()
        cap = getattr(self.language_model.config, "final_logit_softcapping", None)  # Gemma 2
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def load_projection(self, file: Path) -> None:
        """Start from a projection that another run saved.

        Raises:
            AlignmentError: the file cannot be read, or its tensors do not fit.
        """
        try:
            tensors = load_file(file)
        except (OSError, SafetensorError) as error:
            raise AlignmentError(f"{file} cannot be read as safetensors: {error}") from error
        wanted = {name: tuple(parameter.shape) for name, parameter in self.trained.items()}
        found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        # A run with LoRA may start from the projection of a run without.
        if found != wanted and found != {n: w for n, w in wanted.items() if not _is_lora(n)}:
            raise AlignmentError(
                f"{file} does not fit {self.folder.root}: it holds {found}, needed is {wanted}."
            )
        self.restore(tensors)
        self.start = f"a projection of another run ({digest_file(file)})"

    def state(self) -> dict[str, Tensor]:
        """Return copies of the trained tensors, on the CPU."""
        return {name: p.detach().cpu().contiguous().clone() for name, p in self.trained.items()}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Load what :meth:`state` returned."""
        for name, tensor in tensors.items():
            self.trained[name].copy_(tensor)

    def save_folder(self, target: Path, notes: list[str], *, copy: bool) -> None:
        """Write a model folder with the trained tensors; see :func:`write_finished_folder`.

        LoRA is written into its sub-folder ``adapter``.
        """
        changed = {name: tensor for name, tensor in self.state().items() if not _is_lora(name)}
        if self.encoder.config.qformer is None and load_vision_config(self.folder.vision).qformer:
            # The variant without a Q-Former has reset this norm.
            norm = self.encoder.ln_vision.state_dict(prefix="ln_vision.")
            changed |= {name: tensor.float().cpu() for name, tensor in norm.items()}
        if self.adapter is not None:
            save_adapter(self.adapter, target / ADAPTER)
        write_finished_folder(self.folder, self.encoder.config, changed, target, notes, copy=copy)


def _is_lora(name: str) -> bool:
    return name.startswith(LORA_PREFIX)


def _load_language_model(
    folder: ModelFolder, output_width: int, device: torch.device, bits: Bits | None
) -> PreTrainedModel:
    try:
        model = load_language_model(folder.language_model, _frozen_dtype(device), device, bits)
    except torch.OutOfMemoryError as error:
        raise AlignmentError(
            f"{device} has too little free memory for the language model {folder.language_model}."
        ) from error
    width = model.config.hidden_size
    if output_width != width:
        raise AlignmentError(
            f"The projection of {folder.vision} writes {output_width} values, but "
            f"the language model {folder.language_model} has a width of {width}."
        )
    return model


def _frozen_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "cpu" else torch.bfloat16
