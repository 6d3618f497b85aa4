"""BLIP-2's Q-Former and ``ln_vision``, as published in ``blip2_pretrained_flant5xxl.pth``.

MiniGPT-4 runs only the query branch (Li et al. 2023, arXiv:2301.12597, section 3.1): no text goes
through it.
"""

from collections.abc import Mapping

from service.checkpoints.layouts.heads import choose_heads
from service.checkpoints.layouts.name_table import NameTable, count_layers
from service.errors import CheckpointError
from service.model_folder.vision_config import QFormerShape
from service.tensors.lazy_tensor import LazyTensor

HEAD_WIDTH = 64
"""Width of one attention head of BERT-base, from which the Q-Former was trained."""

FLAN_T5_XL_WIDTH = 2048
"""Width of the smaller FLAN-T5 of BLIP-2; MiniGPT-4 uses XXL, which is 4096 wide."""

_LAYER, _RENAMED = "Qformer.bert.encoder.layer.#", "qformer.encoder.layer.#"
_TEXT = "the Q-Former's text branch"
QFORMER = NameTable(
    renamed=[
        ("query_tokens", "query_tokens"),
        ("ln_vision.*", "ln_vision.*"),
        ("Qformer.bert.embeddings.LayerNorm.*", "qformer.layernorm.*"),
        (f"{_LAYER}.attention.self.*.*", f"{_RENAMED}.attention.attention.*.*"),
        (f"{_LAYER}.attention.output.*.*", f"{_RENAMED}.attention.output.*.*"),
        (f"{_LAYER}.crossattention.self.*.*", f"{_RENAMED}.crossattention.attention.*.*"),
        (f"{_LAYER}.crossattention.output.*.*", f"{_RENAMED}.crossattention.output.*.*"),
        (f"{_LAYER}.intermediate_query.dense.*", f"{_RENAMED}.intermediate_query.dense.*"),
        (f"{_LAYER}.output_query.*.*", f"{_RENAMED}.output_query.*.*"),
    ],
    ignored=[
        (f"{_LAYER}.intermediate.dense.*", _TEXT),
        (f"{_LAYER}.output.*.*", _TEXT),
        ("Qformer.bert.embeddings.word_embeddings.weight", _TEXT),
        ("Qformer.bert.embeddings.position_embeddings.weight", _TEXT),
        ("Qformer.bert.embeddings.position_ids", "a table of 0, 1, 2, ..."),
        ("Qformer.cls.**", "the Q-Former's language-modelling head"),
        ("t5_proj.*", "BLIP-2's projection into its own language model"),
        ("opt_proj.*", "BLIP-2's projection into its own language model"),
        ("t5_model.**", "BLIP-2's own language model"),
        ("opt_model.**", "BLIP-2's own language model"),
        ("vision_proj.*", "BLIP-2's image-text matching"),
        ("text_proj.*", "BLIP-2's image-text matching"),
        ("itm_head.*", "BLIP-2's image-text matching"),
        ("temp", "BLIP-2's image-text matching"),
    ],
)


def find_other_origin(tensors: Mapping[str, LazyTensor]) -> str | None:
    """Find what a BLIP-2 file was trained with, if its tensors show that it was not FLAN-T5 XXL."""
    if any(name.startswith(("opt_proj.", "opt_model.")) for name in tensors):
        return "OPT"
    if any(name.startswith(("itm_head.", "vision_proj.")) for name in tensors):
        return "no language model (its first training stage)"
    projection = tensors.get("t5_proj.weight")
    if projection is not None and projection.shape[:1] == (FLAN_T5_XL_WIDTH,):
        return "FLAN-T5 XL"
    return None


def derive_qformer_shape(tensors: Mapping[str, LazyTensor], heads: int | None) -> QFormerShape:
    """Derive the sizes of the Q-Former from its tensors, by name in the model folder.

    Raises:
        CheckpointError: the tensors do not form such a Q-Former.
    """
    prefix = "qformer.encoder.layer."
    try:
        _, queries, width = tensors["query_tokens"].shape
        intermediate = tensors[f"{prefix}0.intermediate_query.dense.weight"].shape[0]
    except (KeyError, ValueError, IndexError):
        raise CheckpointError(
            "The file given for the Q-Former holds none of its tensors (query_tokens, Qformer.bert...)."
            " It should be blip2_pretrained_flant5xxl.pth, or a Hugging Face BLIP-2 folder."
        ) from None
    layers = count_layers(tensors, prefix)
    crossing = sorted({int(name.split(".")[3]) for name in tensors if ".crossattention." in name})
    frequency = crossing[1] if len(crossing) > 1 else layers
    if crossing != list(range(0, layers, frequency)):
        raise CheckpointError(
            f"The Q-Former has cross-attention in layers {crossing} of {layers}: the distance between "
            "them must always be the same."
        )
    return QFormerShape(
        hidden_size=width,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=choose_heads("Q-Former", width, HEAD_WIDTH, heads),
        cross_attention_frequency=frequency,
        query_tokens=queries,
    )
