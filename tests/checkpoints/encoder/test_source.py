"""The encoder's files: warnings about their origin, and refusals of other networks."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.checkpoints.importing import collect_warnings, refuse_import, replace_arguments
from tests.published.blip2_folder import write_blip2_folder
from tests.published.files import PublishedFiles
from tests.published.sizes import QFORMER_WIDTH, VIT_WIDTH

Get = Callable[[str], PublishedFiles]


@pytest.mark.parametrize(
    ("extra", "origin"),
    [
        ({"opt_proj.weight": (8, QFORMER_WIDTH)}, "OPT"),
        ({"itm_head.weight": (2, QFORMER_WIDTH)}, "no language model"),
        ({"t5_proj.weight": (2048, QFORMER_WIDTH)}, "FLAN-T5 XL"),
        ({"t5_proj.weight": (4096, QFORMER_WIDTH)}, None),
    ],
)
def test_the_file_of_another_blip2_gets_a_warning(
    extra: dict[str, tuple[int, ...]],
    origin: str | None,
    tmp_path: Path,
    published: Get,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = published("minigpt4-vicuna")
    tensors = {name: torch.ones(shape) for name, shape in extra.items()}
    torch.save({"model": files.blip2 | tensors}, tmp_path / "blip2.pth")
    arguments = replace_arguments(files.arguments, qformer=tmp_path / "blip2.pth")
    warnings = collect_warnings(capsys, tmp_path / "model", arguments)
    assert (f"another BLIP-2 model, trained with {origin}" in warnings) if origin else not warnings


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ({"model_type": "opt"}, "opt"),
        ({"model_type": "t5", "d_model": 2048}, "FLAN-T5 XL"),
        ({"model_type": "t5", "d_model": 4096}, None),
    ],
)
def test_the_folder_of_another_blip2_gets_a_warning(
    text: dict[str, object],
    origin: str | None,
    tmp_path: Path,
    published: Get,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = published("minigpt4-vicuna")
    write_blip2_folder(tmp_path / "blip2", files.eva, files.blip2)
    config = tmp_path / "blip2" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"text_config": text}))
    arguments = replace_arguments(files.arguments, qformer=tmp_path / "blip2", vit=None)
    warnings = collect_warnings(capsys, tmp_path / "model", arguments)
    assert (f"another BLIP-2 model, trained with {origin}" in warnings) if origin else not warnings


def test_another_kind_of_vit_is_refused(tmp_path: Path, published: Get) -> None:
    files = published("minigpt4-llama2")
    torch.save(files.eva | {"blocks.0.gamma_1": torch.ones(VIT_WIDTH)}, tmp_path / "eva.pth")
    arguments = replace_arguments(files.arguments, vit=tmp_path / "eva.pth")
    assert "layer scale" in refuse_import(tmp_path / "model", arguments)
