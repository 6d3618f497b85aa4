"""The trained part: a MiniGPT-4 checkpoint with the projection, and what can be known about it.

Such a file is a training checkpoint ``{'model', 'optimizer', 'config', 'scaler', 'epoch'}`` whose
``model`` holds the trained parameters and every buffer. The original loads it last and over all other
files, so whatever else it holds (a Q-Former that was trained too) takes precedence here as well.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.checkpoints.eva import VIT
from service.checkpoints.names import NameTable
from service.checkpoints.qformer import QFORMER

PROJECTION = NameTable(
    renamed=[("llama_proj.*", "projection.*")],
    ignored=[
        ("llama_model.**.rotary_emb.inv_freq", "rotary frequencies, which are computed"),
    ],
)

ORIGINAL_MODEL = VIT.under("visual_encoder.") + QFORMER + PROJECTION
"""Every name of the original's whole model, as its checkpoints hold them."""

_FIRST_STAGE = {"laion", "cc_sbu"}
_SECOND_STAGE = {"cc_sbu_align"}


def is_first_stage(file: Path, training: Mapping[str, Any]) -> bool:
    """Whether this is a checkpoint of the first training stage, where file or name can tell.

    Stage 1 sees captions of LAION and CC/SBU only, stage 2 the curated set ``cc_sbu_align``
    (Zhu et al. 2023, arXiv:2304.10592, sections 3.1 and 3.3).
    """
    config = training.get("config")
    datasets = config.get("datasets") if isinstance(config, Mapping) else None
    if isinstance(datasets, Mapping) and datasets:
        return bool(_FIRST_STAGE & datasets.keys()) and not _SECOND_STAGE & datasets.keys()
    return "stage1" in file.name.lower().replace("_", "").replace("-", "")


def trained_option(training: Mapping[str, Any], name: str) -> Any:
    """A value of the ``model`` part of the training configuration in the file, or None."""
    config = training.get("config")
    model = config.get("model") if isinstance(config, Mapping) else None
    return model.get(name) if isinstance(model, Mapping) else None
