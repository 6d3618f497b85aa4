"""The vision side's model: the encoder, with heads that are thrown away after training."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from service.demo.vision_side.labels import FIELDS, IGNORED, PATCH, QUERIES
from service.demo.vision_side.start import initialise
from service.model_folder.vision_config import QFormerShape, VisionConfig, ViTShape
from service.scenes.render_settings import SIDE
from service.vision.model import VisionEncoder


def make_vision_config(hidden_size: int) -> VisionConfig:
    """Return the shape of the demo model's encoder.

    Args:
        hidden_size: Width of the language model.
    """
    return VisionConfig(
        image_size=SIDE,
        vit=ViTShape(
            hidden_size=192,
            intermediate_size=768,
            num_hidden_layers=4,
            num_attention_heads=6,
            patch_size=PATCH,
        ),
        qformer=QFormerShape(
            hidden_size=192,
            intermediate_size=768,
            num_hidden_layers=3,
            num_attention_heads=6,
            cross_attention_frequency=1,
            query_tokens=QUERIES,
        ),
        hidden_size=hidden_size,
    )


class VisionSideModel(nn.Module):
    """The encoder, whose projection does not learn here, with linear heads.

    Attributes:
        reading_weight: Weight of the written text in the loss.
        hints: Weight of the patches' labels in the loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = VisionEncoder(make_vision_config(hidden_size=8))
        width = self.encoder.config.projection_width
        self.read_out = nn.Linear(width, sum(FIELDS.values()))
        self.classify = nn.Linear(width, sum(FIELDS.values()))
        self.patch_head = nn.Linear(
            self.encoder.config.vit.hidden_size, FIELDS["kind"] + FIELDS["colour"]
        )
        self.silhouette_head = nn.Linear(self.encoder.config.vit.hidden_size, 16)
        self.reading_weight = self.hints = 1.0
        self.encoder.projection.requires_grad_(False)
        # The cosine transform is kept: patch embeddings that learn drown in noise at first.
        self.encoder.vit.embeddings.patch_embedding.requires_grad_(False)
        initialise(self, self.encoder)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode pictures.

        Returns:
            Query features ``[images, 12, 192]``, patch features and those of the middle layer, both
            ``[images, 64, 192]``.
        """
        encoder = self.encoder
        # Two passes over the pixels: the encoder's own normalisation takes a tenth of a step.
        planes = pixels.permute(0, 3, 1, 2).contiguous().float()
        mean, std = 255 * encoder.pixel_mean[:, None, None], 255 * encoder.pixel_std[:, None, None]
        planes.sub_(mean).mul_(1 / std)
        states = encoder.vit(planes, output_hidden_states=True)
        patches = encoder.ln_vision(states.last_hidden_state)
        halfway = states.hidden_states[2][:, 1:]
        halfway = functional.layer_norm(halfway, halfway.shape[-1:])
        queries = encoder.qformer(
            query_embeds=encoder.query_tokens.expand(len(pixels), -1, -1),
            encoder_hidden_states=patches,
        ).last_hidden_state
        return queries, patches[:, 1:], halfway

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of a batch, and figures to print.

        It is the sum of the fields' cross entropies, the squared error of the linear read-out, and
        the losses of the patches' labels.
        """
        queries, patches, halfway = self(batch["pixels"])
        queries, patches = queries.float(), patches.float()
        losses, figures = self._classify(queries, batch["fields"])
        squared = functional.mse_loss(self.read_out(queries).float(), _one_hot(batch["fields"]))
        dense = self._classify_patches(patches, batch["patches"])
        covered = self.silhouette_head(halfway).float()
        outline = functional.binary_cross_entropy_with_logits(covered, batch["covered"])
        figures |= {"mse": squared.item(), "silhouette": outline.item()}
        losses[0] = 2 * losses[0]
        losses[3] = self.reading_weight * losses[3]
        total = sum(losses, start=torch.zeros(()))
        return total + 40 * squared + self.hints * (2 * dense + 8 * outline), figures

    def _classify(self, queries: Tensor, fields: Tensor) -> tuple[list[Tensor], dict[str, float]]:
        """Return the cross entropy of each field, and the shares of right classes."""
        logits = self.classify(queries).float().split(list(FIELDS.values()), dim=-1)
        losses, figures = [], {}
        for number, (name, predicted) in enumerate(zip(FIELDS, logits, strict=True)):
            wanted = fields[..., number]
            known = wanted != IGNORED
            losses.append(functional.cross_entropy(predicted[known], wanted[known]))
            right = (predicted[known].argmax(-1) == wanted[known]).float().mean()
            if name != "query":
                figures[name] = float(right)
        return losses, figures

    def _classify_patches(self, patches: Tensor, labels: Tensor) -> Tensor:
        kinds, colours = (
            self.patch_head(patches).float().split([FIELDS["kind"], FIELDS["colour"]], dim=-1)
        )
        kind_loss = functional.cross_entropy(kinds.flatten(0, 1), labels[..., 0].flatten())
        colour_loss = functional.cross_entropy(
            colours.flatten(0, 1), labels[..., 1].flatten(), ignore_index=IGNORED
        )
        return kind_loss + colour_loss


def _one_hot(fields: Tensor) -> Tensor:
    """Return the classes as zeros and ones, ``[images, 12, classes of all fields]``."""
    return torch.cat(
        [
            functional.one_hot(fields[..., number].clamp(min=0), classes).float()
            * (fields[..., number, None] != IGNORED)
            for number, classes in enumerate(FIELDS.values())
        ],
        dim=-1,
    )
