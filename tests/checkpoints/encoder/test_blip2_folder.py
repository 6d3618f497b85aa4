"""Encoders from Hugging Face folders of BLIP-2 and InstructBLIP."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    LlamaConfig,
    PreTrainedConfig,
    T5Config,
)

from service.checkpoints.random_weights import fill_randomly
from service.vision.weights import load_vision_encoder
from tests.checkpoints.encoder.comparing import assert_close, encode
from tests.checkpoints.importing import replace_arguments, run_import
from tests.published.blip2_folder import write_blip2_folder
from tests.published.files import PublishedFiles
from tests.published.images import make_noise, save_image
from tests.published.original_encoder import read_pixels
from tests.published.sizes import (
    QFORMER_HEADS,
    QFORMER_WIDTH,
    QUERIES,
    VIT_HEADS,
    VIT_LAYERS,
    VIT_WIDTH,
)

Get = Callable[[str], PublishedFiles]


@pytest.fixture(scope="module")
def image() -> bytes:
    return save_image(Image.fromarray(make_noise(97, 203, 3)))


@pytest.mark.parametrize("instruct", [False, True])
def test_a_folder_gives_the_same_embeddings_as_the_two_files(
    instruct: bool,
    image: bytes,
    tmp_path: Path,
    published: Get,
    imported: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = published("minigpt4-vicuna")
    write_blip2_folder(tmp_path / "blip2", files.eva, files.blip2, instruct)
    arguments = replace_arguments(files.arguments, vit=None, qformer=tmp_path / "blip2")
    run_import(tmp_path / "model", arguments)
    assert ("InstructBLIP" in capsys.readouterr().out) == instruct
    expected = encode(imported("minigpt4-vicuna"), image)
    assert torch.equal(encode(tmp_path / "model", image), expected)


@pytest.mark.parametrize("family", ["minigpt4-llama2", "minigpt-v2"])
def test_a_family_without_a_qformer_uses_only_the_vit_of_a_folder(
    family: str,
    image: bytes,
    tmp_path: Path,
    published: Get,
    imported: Callable[[str], Path],
) -> None:
    """Its ln_vision is left out, because the original loads none for these families."""
    files = published(family)
    write_blip2_folder(tmp_path / "blip2", files.eva, files.blip2)
    run_import(tmp_path / "model", replace_arguments(files.arguments, vit=tmp_path / "blip2"))
    assert torch.equal(encode(tmp_path / "model", image), encode(imported(family), image))


class _Classes(NamedTuple):
    """transformers' classes of one kind of folder, and the language model's configuration."""

    model: Any
    config: Any
    text: PreTrainedConfig


TRANSFORMERS = {
    "BLIP-2": _Classes(
        Blip2ForConditionalGeneration,
        Blip2Config,
        T5Config(vocab_size=40, d_model=48, d_kv=8, d_ff=64, num_layers=2, num_heads=2),
    ),
    "InstructBLIP": _Classes(
        InstructBlipForConditionalGeneration,
        InstructBlipConfig,
        LlamaConfig(
            vocab_size=40,
            hidden_size=48,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
        ),
    ),
}


def _save_by_transformers(kind: str, folder: Path) -> Any:
    """Save a random model of the library's own classes, in about 20 shards."""
    classes = TRANSFORMERS[kind]
    vit = {"hidden_size": VIT_WIDTH, "intermediate_size": 380, "num_attention_heads": VIT_HEADS}
    qformer = {"hidden_size": QFORMER_WIDTH, "intermediate_size": 192, "vocab_size": 30}
    config = classes.config(
        vision_config=vit | {"num_hidden_layers": VIT_LAYERS, "image_size": 224, "patch_size": 14},
        qformer_config=qformer
        | {"num_hidden_layers": 3, "num_attention_heads": QFORMER_HEADS}
        | {"encoder_hidden_size": VIT_WIDTH, "max_position_embeddings": 20},
        text_config=classes.text.to_dict(),
        num_query_tokens=QUERIES,
    )
    model = classes.model(config).eval()
    fill_randomly(model, torch.Generator().manual_seed(11))
    model.save_pretrained(folder, max_shard_size="500KB")
    return model


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_every_tensor_that_transformers_writes_is_known(
    kind: str, tmp_path: Path, published: Get, capsys: pytest.CaptureFixture[str]
) -> None:
    _save_by_transformers(kind, tmp_path / "folder")
    arguments = published("minigpt4-vicuna").arguments
    arguments = replace_arguments(arguments, vit=None, qformer=tmp_path / "folder")
    folder = run_import(tmp_path / "model", arguments)
    assert "nor this importer knows" not in capsys.readouterr().out
    load_vision_encoder(folder.vision)


def test_a_folder_gives_the_embeddings_that_transformers_computes(
    image: bytes, tmp_path: Path, published: Get
) -> None:
    """Only ln_vision's epsilon differs, and its effect is far below the tolerance."""
    model = _save_by_transformers("BLIP-2", tmp_path / "folder")
    files = published("minigpt4-vicuna")
    arguments = replace_arguments(files.arguments, vit=None, qformer=tmp_path / "folder")
    run_import(tmp_path / "model", arguments)
    with torch.inference_mode():
        features = model.vision_model(read_pixels(image, 224)).last_hidden_state
        queries = model.qformer(model.query_tokens, encoder_hidden_states=features)[0]
        weight, bias = (files.trained[f"llama_proj.{kind}"] for kind in ("weight", "bias"))
        expected = torch.nn.functional.linear(queries, weight, bias)
    assert_close(encode(tmp_path / "model", image), expected)
