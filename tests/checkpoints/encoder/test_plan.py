"""The encoder's plan: sizes, missing tensors, and projections of other families."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from service.model_folder.vision_config import load_vision_config
from tests.checkpoints.importing import refuse_import, replace_arguments, run_import
from tests.published.files import PublishedFiles
from tests.published.sizes import VIT_WIDTH

Get = Callable[[str], PublishedFiles]


@pytest.mark.parametrize(
    ("family", "chosen", "advice"),
    [
        ("minigpt4-llama2", "minigpt4-vicuna", "import it as minigpt4-llama2"),
        ("minigpt4-vicuna", "minigpt4-llama2", "import it as minigpt4-vicuna"),
        ("minigpt-v2", "minigpt4-llama2", "--family minigpt-v2"),
        ("minigpt4-llama2", "minigpt-v2", "--family minigpt4-llama2"),
    ],
)
def test_the_projection_of_another_family_is_refused(
    family: str, chosen: str, advice: str, tmp_path: Path, published: Get
) -> None:
    projection = published(family).projection
    arguments = replace_arguments(published(chosen).arguments, projection=projection)
    assert advice in refuse_import(tmp_path / "model", arguments)


def test_missing_tensors_are_named_as_in_their_file(tmp_path: Path, published: Get) -> None:
    files = published("minigpt4-vicuna")
    eva, blip2 = dict(files.eva), dict(files.blip2)
    del eva["blocks.1.attn.v_bias"], eva["blocks.0.norm2.weight"]
    del blip2["ln_vision.bias"]
    del blip2["Qformer.bert.encoder.layer.2.crossattention.self.key.weight"]
    torch.save(eva, tmp_path / "eva.pth")
    torch.save({"model": blip2}, tmp_path / "blip2.pth")
    arguments = replace_arguments(
        files.arguments, vit=tmp_path / "eva.pth", qformer=tmp_path / "blip2.pth"
    )
    message = refuse_import(tmp_path / "model", arguments)
    for name in (
        "blocks.1.attn.q_bias and v_bias",
        "blocks.0.norm2.weight",
        "ln_vision.bias",
        "Qformer.bert.encoder.layer.2.crossattention.self.key.weight",
    ):
        assert f"missing: {name} in " in message
    assert message.count("missing: ") == 4


def test_a_tensor_of_the_wrong_shape_is_named(tmp_path: Path, published: Get) -> None:
    files = published("minigpt4-llama2")
    eva = dict(files.eva)
    eva["blocks.1.mlp.fc2.weight"] = torch.ones(VIT_WIDTH, 4)
    torch.save(eva, tmp_path / "eva.pth")
    arguments = replace_arguments(files.arguments, vit=tmp_path / "eva.pth")
    message = refuse_import(tmp_path / "model", arguments)
    assert f"mlp.fc2.weight is ({VIT_WIDTH}, 4)" in message


def test_sizes_that_the_tensors_do_not_show_can_be_given(tmp_path: Path, published: Get) -> None:
    flags = ["--vit-heads", "4", "--vit-layers", "2", "--qformer-heads", "1"]
    arguments = [*published("minigpt4-vicuna").arguments, *flags]
    config = load_vision_config(run_import(tmp_path / "model", arguments).vision)
    assert config.qformer is not None
    assert (config.vit.num_attention_heads, config.vit.num_hidden_layers) == (4, 2)
    assert config.qformer.num_attention_heads == 1


def test_a_number_of_heads_that_cannot_be_derived_must_be_given(
    tmp_path: Path, published: Get
) -> None:
    files = published("minigpt4-llama2")
    narrow = {
        name: tensor[..., :100] if tensor.shape[-1:] == (VIT_WIDTH,) else tensor
        for name, tensor in files.eva.items()
    }
    narrow["patch_embed.proj.weight"] = torch.ones(100, 3, 14, 14)
    torch.save(narrow, tmp_path / "eva.pth")
    arguments = replace_arguments(files.arguments, vit=tmp_path / "eva.pth")
    assert "--vit-heads" in refuse_import(tmp_path / "model", arguments)
