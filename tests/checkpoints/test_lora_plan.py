"""Checkpoints that train the language model in a way that the importer cannot merge."""

from collections.abc import Callable
from pathlib import Path

import torch

from tests.checkpoints.importing import refuse_import, replace_arguments, save_checkpoint
from tests.published.files import PublishedFiles


def test_other_weights_of_the_language_model_are_refused(
    tmp_path: Path, published: Callable[[str], PublishedFiles]
) -> None:
    files = published("minigpt4-vicuna")
    tensors = files.trained | {"llama_model.lm_head.weight": torch.ones(2, 2)}
    checkpoint = save_checkpoint(tmp_path / "full.pth", tensors)
    arguments = replace_arguments(files.arguments, projection=checkpoint)
    assert "llama_model.lm_head.weight" in refuse_import(tmp_path / "model", arguments)
