"""A MiniGPT-4 checkpoint: the trained projection, and facts about its training.

The file is a training checkpoint ``{'model', 'optimizer', 'config', 'scaler', 'epoch'}``. Its
``model`` holds the trained parameters and every buffer. The original loads it after all other files
and over them, so everything else in it (for example a Q-Former that was trained as well) takes
precedence here too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.checkpoints.layouts.eva_vit import EVA_VIT
from service.checkpoints.layouts.name_table import NameTable
from service.checkpoints.layouts.qformer import QFORMER

PROJECTION = NameTable(
    renamed=[("llama_proj.*", "projection.*")],
    ignored=[
        ("llama_model.**.rotary_emb.inv_freq", "rotary frequencies, which are computed"),
    ],
)

ORIGINAL_MODEL = EVA_VIT.with_prefix("visual_encoder.") + QFORMER + PROJECTION
"""Every name in the original's whole model, as checkpoints of it use them."""

_FIRST_STAGE = {"laion", "cc_sbu"}
_SECOND_STAGE = {"cc_sbu_align"}


def is_first_stage(file: Path, training: Mapping[str, Any]) -> bool:
    """Return whether the training configuration, or else the file's name, shows stage 1.

    Stage 1 uses captions of LAION and CC/SBU only, stage 2 the curated set ``cc_sbu_align``
    (Zhu et al. 2023, arXiv:2304.10592, sections 3.1 and 3.3).
    """
    config = training.get("config")
    datasets = config.get("datasets") if isinstance(config, Mapping) else None
    if isinstance(datasets, Mapping) and datasets:
        return bool(_FIRST_STAGE & datasets.keys()) and not _SECOND_STAGE & datasets.keys()
    return "stage1" in file.name.lower().replace("_", "").replace("-", "")


def read_training_option(training: Mapping[str, Any], name: str) -> Any:
    """Return a value of the ``model`` section of the training configuration, or None."""
    config = training.get("config")
    model = config.get("model") if isinstance(config, Mapping) else None
    return model.get(name) if isinstance(model, Mapping) else None
