"""Sizes of the small checkpoints.

The importer derives the number of heads from widths, so the widths of heads are the published ones:
88 in the ViT and 64 in the Q-Former.
"""

from dataclasses import dataclass

VIT_WIDTH, VIT_HEADS, VIT_LAYERS = 176, 2, 3
QFORMER_WIDTH, QFORMER_HEADS = 128, 2
LLAMA_WIDTH, LLAMA_LAYERS, VOCABULARY = 64, 2, 700
RANK, QUERIES = 4, 32


@dataclass(frozen=True)
class Sizes:
    """Widths and depths; the ViT's file has one block more than ``vit_layers``."""

    vit_width: int = VIT_WIDTH
    vit_mlp: int = 380
    vit_layers: int = VIT_LAYERS
    qformer_width: int = QFORMER_WIDTH
    qformer_mlp: int = 192
    qformer_layers: int = 3
    words: int = 30
    llama_width: int = LLAMA_WIDTH
    llama_layers: int = LLAMA_LAYERS
    llama_heads: int = 2


SMALL = Sizes()
