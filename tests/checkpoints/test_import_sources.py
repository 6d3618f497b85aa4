"""Sources given in the wrong place, or of different sizes."""

from collections.abc import Callable
from pathlib import Path

import torch

from tests.checkpoints.importing import refuse_import, replace_arguments, save_checkpoint
from tests.published.files import PublishedFiles
from tests.published.sizes import QFORMER_WIDTH

Get = Callable[[str], PublishedFiles]


def test_a_projection_for_another_width_is_refused(tmp_path: Path, published: Get) -> None:
    files = published("minigpt4-vicuna")
    wide = {
        "llama_proj.weight": torch.ones(96, QFORMER_WIDTH),
        "llama_proj.bias": torch.ones(96),
    }
    projection = save_checkpoint(tmp_path / "13b.pth", wide)
    arguments = replace_arguments(files.arguments, projection=projection)
    message = refuse_import(tmp_path / "model", arguments)
    assert "width 96" in message
    assert "reads 64" in message
    assert "same size" in message


def test_a_file_in_the_place_of_another_is_explained(tmp_path: Path, published: Get) -> None:
    files = published("minigpt4-vicuna")
    target, arguments = tmp_path / "model", files.arguments
    swapped = replace_arguments(arguments, vit=files.qformer, qformer=files.vit)
    assert "should be eva_vit_g.pth" in refuse_import(target, swapped)
    no_qformer = replace_arguments(arguments, qformer=files.vit)
    assert "should be blip2_pretrained" in refuse_import(target, no_qformer)
    no_projection = replace_arguments(arguments, projection=files.qformer)
    assert "holds no projection" in refuse_import(target, no_projection)
    no_folder = replace_arguments(arguments, llm=files.vit)
    assert "takes a Hugging Face folder" in refuse_import(target, no_folder)
    missing = replace_arguments(arguments, vit=tmp_path / "nowhere" / "eva.pth")
    assert "no such file" in refuse_import(target, missing)
