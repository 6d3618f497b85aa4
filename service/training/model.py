"""The model in training: a frozen encoder and language model, and the projection that learns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

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
from service.training.feature_cache import FeatureCache
from service.training.finished_folder import write_finished_folder
from service.training.formats import TokenizedSample
from service.training.identity import digest_file
from service.training.language_model import load_language_model
from service.training.sequences import IGNORED, build_sequences
from service.training.variants import Variant, load_encoder
from service.vision.model import VisionEncoder


@dataclass
class AlignmentModel:
    """The parts of a model folder, ready for training.

    Attributes:
        folder: Where the parts come from.
        encoder: The encoder. Its trained parts are in float32.
        language_model: Frozen. All frozen parts are in bfloat16 on a GPU and in float32 on a CPU.
        tokenizer: Of the language model.
        trained: The parameters that learn, by their names in the encoder; checkpoints hold them.
        device: Where everything is.
        start: Where the trained tensors came from, as a text.
        features: Computes the projection's input: ``[images, visual_tokens, projection_width]``.
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
            variant: The parts that learn. A variant whose form is not the folder's gets a new
                projection.
            fresh: Start from a new random projection, as stage 1 does.
            initial_scale: Factor on the random start of a new projection's last layer.
            seed: Of a new projection.
            device: The CPU if not given.

        Raises:
            AlignmentError: the language model cannot be loaded, or the projection does not fit it.
            ModelFolderError: the folder is incomplete, or its parts do not fit together.
        """
        validate(folder)
        device = device or torch.device("cpu")
        encoder, is_new = load_encoder(
            folder, variant, fresh=fresh, seed=seed, initial_scale=initial_scale
        )
        language_model = _load_language_model(folder, encoder.config.hidden_size, device)
        tokenizer = Tokenizer.from_file(str(folder.tokenizer / "tokenizer.json"))
        for parameter in encoder.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(_frozen_dtype(device))
        encoder = encoder.to(device)
        trained = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
        start = "a new projection" if is_new else "the folder's projection"
        return cls(folder, encoder, language_model, tokenizer, trained, device, start)

    def cache_features(self, max_bytes: int) -> None:
        """Keep the features of images that come again, if everything that makes them is frozen."""
        if all(name.startswith("projection.") for name in self.trained):
            self.features = FeatureCache(self.encoder.visual_features, max_bytes)

    def loss(self, pixels: Tensor, samples: list[TokenizedSample]) -> Tensor:
        """Compute the mean next-token loss over the tokens of the targets.

        Args:
            pixels: ``[samples, image_size, image_size, 3]`` uint8.
            samples: The text around each image.
        """
        embedded = self.encoder.projection(self.features(pixels.to(self.device)))
        table = self.language_model.get_input_embeddings()
        inputs, labels = build_sequences(table, embedded, samples)
        hidden = self.language_model.model(inputs_embeds=inputs, use_cache=False).last_hidden_state
        known = labels[:, 1:] != IGNORED
        logits = self.language_model.lm_head(hidden[:, :-1][known])
        return functional.cross_entropy(logits.float(), labels[:, 1:][known])

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
        if wanted != found:
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
        for name, parameter in self.trained.items():
            parameter.copy_(tensors[name])

    def save_folder(self, target: Path, notes: list[str], *, copy: bool) -> None:
        """Write a model folder with the trained tensors; see :func:`write_finished_folder`."""
        write_finished_folder(
            self.folder, self.encoder.config, self.state(), target, notes, copy=copy
        )


def _load_language_model(
    folder: ModelFolder, projection_width: int, device: torch.device
) -> LlamaForCausalLM:
    try:
        model = load_language_model(folder.language_model, _frozen_dtype(device), device)
    except torch.OutOfMemoryError as error:
        raise AlignmentError(
            f"{device} has too little free memory for the language model {folder.language_model}."
        ) from error
    width = model.config.hidden_size
    if projection_width != width:
        raise AlignmentError(
            f"The projection of {folder.vision} writes {projection_width} values, but "
            f"the language model {folder.language_model} has a width of {width}."
        )
    return model


def _frozen_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "cpu" else torch.bfloat16
