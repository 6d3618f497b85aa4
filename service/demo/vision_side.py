"""The vision side: a small ViT and Q-Former learn scenes from labels, never from a language model.

Every query token owns something: one of nine cells, the background, the number of objects, or what is
written. The heads are linear and shared by all query tokens, so that what a query token knows can be
read by **one linear map**: that is what alignment later has to find. The heads are thrown away.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerLayer

from service.demo.fit import Schedule, fit
from service.model_folder.vision_config import QFormerShape, VisionConfig, ViTShape
from service.scenes.render import SIDE, render_labelled
from service.scenes.scene import (
    BACKGROUNDS,
    CELLS,
    COLOURS,
    KINDS,
    NUMBERS,
    SIZES,
    TEXTS,
    draw_scene,
    rng_for,
    with_texts,
)
from service.vision.model import VisionEncoder

QUERIES = CELLS + 3
"""Query tokens: nine cells, background, number of objects, what is written."""

FIELDS = {
    "kind": len(KINDS) + 1,  # the last is an empty cell
    "colour": len(COLOURS),
    "size": len(SIZES),
    "text": len(TEXTS) + 1,  # the last is nothing written
    "background": len(BACKGROUNDS),
    "count": len(NUMBERS),
    "query": QUERIES,
}
"""What a query token can say: field and number of classes."""

VISION_SCHEDULE = Schedule(steps=2800, batch=48, learning_rate=1e-3, weight_decay=0.02)
READING_SCHEDULE = Schedule(steps=1200, batch=48, learning_rate=5e-4, weight_decay=0.02, warmup=50)
"""The second round: every scene has something written, which is the slowest to learn."""

TELLING_SCHEDULE = Schedule(steps=1200, batch=48, learning_rate=6e-4, weight_decay=0.02, warmup=100)
"""The last round: to tell apart what looks alike (a ring and a 0, *end* and *stop*)."""

_READING_WEIGHT = 4.0
_LATE_HINTS = 0.25
_TEXT_SHARE = 0.5
_IGNORED = -100


def vision_config(hidden_size: int) -> VisionConfig:
    """Sizes of the demo's encoder; ``hidden_size`` is the language model's width."""
    return VisionConfig(
        image_size=SIDE,
        vit=ViTShape(
            hidden_size=192,
            intermediate_size=768,
            num_hidden_layers=4,
            num_attention_heads=6,
            patch_size=28,
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


class SceneLabels(Dataset[dict[str, Tensor]]):
    """Sample ``i`` of a split.

    Its tensors are ``pixels [224, 224, 3]``, ``fields [12, 7]``, and for each of 64 patches ``patches [64, 2]``
    (kind and colour) and ``covered [64, 16]``.
    """

    def __init__(
        self, split: str, length: int, *, written: bool = False, texts: float = 0.0
    ) -> None:
        """Draw ``length`` samples.

        Args:
            written: Something is written in every scene.
            texts: Share of scenes in which every other object is a text.
        """
        self.split, self.length, self.written, self.texts = split, length, written, texts

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = rng_for(self.split, index)
        scene = draw_scene(rng, crowded=rng.random() < 0.6)
        while self.written and not scene.written:
            scene = draw_scene(rng, crowded=rng.random() < 0.6)
        if self.texts and rng.random() < self.texts:
            scene = with_texts(scene, rng, _TEXT_SHARE)
        drawn = render_labelled(scene, rng)
        fields = torch.full((QUERIES, len(FIELDS)), _IGNORED)
        fields[:, 6] = torch.arange(QUERIES)
        fields[:CELLS, 0] = len(KINDS)
        for item in scene.objects:
            said = [KINDS.index(item.kind), COLOURS.index(item.colour), SIZES.index(item.size)]
            fields[item.cell, :3] = torch.tensor(said)
            if item.text:
                fields[item.cell, 3] = TEXTS.index(item.text)
        written = scene.written
        fields[CELLS, 4] = BACKGROUNDS.index(scene.background)
        fields[CELLS + 1, 5] = len(scene.objects)
        if sum(bool(item.text) for item in scene.objects) <= 1:
            fields[CELLS + 2, 3] = TEXTS.index(written.text) if written else len(TEXTS)
        patches = torch.full((64, 2), _IGNORED)
        patches[:, 0] = len(KINDS)
        centres = (torch.arange(8) + 0.5) * 28
        for item, (x, y, radius) in zip(scene.objects, drawn.located, strict=True):
            near = ((centres[None, :] - x).abs() < radius + 8) & (
                (centres[:, None] - y).abs() < radius + 8
            )
            patches[near.flatten()] = torch.tensor(
                [KINDS.index(item.kind), COLOURS.index(item.colour)]
            )
        covered = torch.from_numpy(np.array(drawn.silhouette)).float() / 255
        # 16 shares a patch: how much of each 7 x 7 square an object covers.
        shares = covered.view(8, 4, 7, 8, 4, 7).mean((2, 5)).transpose(1, 2).reshape(64, 16)
        pixels = torch.from_numpy(np.array(drawn.image))
        return {"pixels": pixels, "fields": fields, "patches": patches, "covered": shares}


class VisionStudent(nn.Module):
    """The encoder (its projection untouched) with the heads that are thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = VisionEncoder(vision_config(hidden_size=8))
        width = self.encoder.config.projection_width
        self.read_out = nn.Linear(width, sum(FIELDS.values()))
        self.classify = nn.Linear(width, sum(FIELDS.values()))
        self.patch_head = nn.Linear(
            self.encoder.config.vit.hidden_size, FIELDS["kind"] + FIELDS["colour"]
        )
        self.silhouette_head = nn.Linear(self.encoder.config.vit.hidden_size, 16)
        self.reading_weight = self.hints = 1.0
        self.encoder.projection.requires_grad_(False)
        # The cosine transform stays as it is: learnt patch embeddings drown in noise first.
        self.encoder.vit.embeddings.patch_embedding.requires_grad_(False)
        _initialise(self)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query features ``[images, 12, 192]``, patch features and those halfway ``[images, 64, 192]``."""
        encoder = self.encoder
        # As the encoder normalises, in place: there it would cost a tenth of a training step.
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
        """Cross entropy of every field, squared error of the linear read-out, and the patches' labels."""
        queries, patches, halfway = self(batch["pixels"])
        queries, patches = queries.float(), patches.float()
        fields = batch["fields"]
        logits = self.classify(queries).float().split(list(FIELDS.values()), dim=-1)
        losses, figures = [], {}
        for place, (name, predicted) in enumerate(zip(FIELDS, logits, strict=True)):
            wanted = fields[..., place]
            known = wanted != _IGNORED
            losses.append(functional.cross_entropy(predicted[known], wanted[known]))
            right = (predicted[known].argmax(-1) == wanted[known]).float().mean()
            if name != "query":
                figures[name] = float(right)
        aim = torch.cat(
            [
                functional.one_hot(fields[..., place].clamp(min=0), classes).float()
                * (fields[..., place, None] != _IGNORED)
                for place, classes in enumerate(FIELDS.values())
            ],
            dim=-1,
        )
        squared = functional.mse_loss(self.read_out(queries).float(), aim)
        figures["mse"] = squared.item()
        kinds, colours = (
            self.patch_head(patches).float().split([FIELDS["kind"], FIELDS["colour"]], dim=-1)
        )
        labels = batch["patches"]
        dense = functional.cross_entropy(
            kinds.flatten(0, 1), labels[..., 0].flatten()
        ) + functional.cross_entropy(
            colours.flatten(0, 1), labels[..., 1].flatten(), ignore_index=_IGNORED
        )
        # Silhouettes first: shapes are told by them, whatever their colour.
        covered = self.silhouette_head(halfway).float()
        outline = functional.binary_cross_entropy_with_logits(covered, batch["covered"])
        figures["silhouette"] = outline.item()
        losses[0] = 2 * losses[0]
        losses[3] = self.reading_weight * losses[3]
        total = sum(losses, start=torch.zeros(()))
        return total + 40 * squared + self.hints * (2 * dense + 8 * outline), figures


def train_vision(
    checkpoint: Path,
    schedule: Schedule = VISION_SCHEDULE,
    reading: Schedule = READING_SCHEDULE,
    telling: Schedule = TELLING_SCHEDULE,
) -> VisionEncoder:
    """Train from seed 0, or go on from ``checkpoint``; the encoder, its projection meaningless."""
    torch.manual_seed(0)
    student = VisionStudent()
    samples = SceneLabels("vision", schedule.steps * schedule.batch)
    fit(student, samples, _stack, student.loss, schedule, checkpoint)
    student.reading_weight = _READING_WEIGHT
    samples = SceneLabels("reading", reading.steps * reading.batch, written=True)
    later = checkpoint.with_stem(f"{checkpoint.stem}-reading")
    fit(student, samples, _stack, student.loss, reading, later)
    # Patches' labels have taught what they can: what they would still change is the objects' edges.
    student.hints = _LATE_HINTS
    samples = SceneLabels("telling", telling.steps * telling.batch, texts=0.4)
    last = checkpoint.with_stem(f"{checkpoint.stem}-telling")
    fit(student, samples, _stack, student.loss, telling, last)
    return student.encoder


def _stack(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


@torch.no_grad()
def _initialise(student: VisionStudent) -> None:
    for module in student.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    embeddings = student.encoder.vit.embeddings
    embeddings.patch_embedding.weight.copy_(_cosine_patches(28, 8))
    assert embeddings.patch_embedding.bias is not None
    nn.init.zeros_(embeddings.patch_embedding.bias)
    places = _smooth_places(8, embeddings.position_embedding.shape[-1])
    nn.init.zeros_(embeddings.position_embedding)
    embeddings.position_embedding[0, 1:] = places
    nn.init.trunc_normal_(embeddings.class_embedding, std=0.5)
    # A cell's query token starts as the place of its cell, and cross-attention as a comparison.
    queries = student.encoder.query_tokens
    nn.init.trunc_normal_(queries, std=0.5)
    grid = places.unflatten(0, (8, 8))
    for cell in range(CELLS):
        rows, columns = (
            slice(round(at * 8 / 3), round((at + 1) * 8 / 3)) for at in divmod(cell, 3)
        )
        queries[0, cell] += 2 * grid[rows, columns].mean((0, 1))
    layers = cast("Sequence[Blip2QFormerLayer]", student.encoder.qformer.encoder.layer)
    for layer in layers:
        attention = layer.crossattention.attention
        attention.query.weight.mul_(1.5)
        attention.key.weight.copy_(attention.query.weight)


def _smooth_places(side: int, width: int) -> Tensor:
    """Position embeddings that start smooth and distinct: ``[side^2, width]``, deviation 0.7.

    A cosine basis of the grid, low frequencies strongest, turned at random into the full width.
    """
    places = (torch.arange(side) + 0.5) / side
    waves = torch.stack([torch.cos(torch.pi * step * places) for step in range(side)], dim=1)
    gains = 1 / (1 + torch.arange(side)[:, None] + torch.arange(side)[None, :]).float()
    basis = torch.einsum("ya,xb,ab->yxab", waves, waves, gains).flatten(2).flatten(0, 1)
    basis = basis - basis.mean(0)
    turned = basis @ torch.randn(basis.shape[1], width)
    return 0.7 * turned / turned.std()


def _cosine_patches(side: int, frequencies: int) -> Tensor:
    """Patch embedding that starts as a cosine transform: ``[3 * frequencies^2, 3, side, side]``.

    A patch's low frequencies hold nearly all of a drawn shape; a random start would mix them with
    noise, and learning shapes takes several times longer. Higher frequencies carry less power and are
    amplified to the same scale.
    """
    places = (torch.arange(side) + 0.5) / side
    waves = torch.stack([torch.cos(torch.pi * step * places) for step in range(frequencies)])
    waves = waves / waves.norm(dim=1, keepdim=True)
    gains = 1 + torch.arange(frequencies)
    planes = torch.einsum("ay,bx->abyx", waves * gains[:, None], waves * gains[:, None])
    weight = torch.zeros(3, frequencies * frequencies, 3, side, side)
    for channel in range(3):
        weight[channel, :, channel] = planes.flatten(0, 1)
    return 1.8 * weight.flatten(0, 1) / side
