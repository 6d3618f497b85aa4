"""Imported encoders against what the original computes: every family, image size and kind of image."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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
from service.cli import main
from service.images.decoding import decode_pixels
from service.model_folder.layout import ModelFolder
from service.vision.weights import load_vision_encoder
from tests.checkpoints.conftest import FAMILIES
from tests.checkpoints.published import (
    QFORMER_HEADS,
    QFORMER_WIDTH,
    QUERIES,
    VIT_HEADS,
    VIT_LAYERS,
    VIT_WIDTH,
    Published,
    training_checkpoint,
    write_blip2_folder,
)
from tests.checkpoints.reference import image_pixels, projected_embeddings

IMAGE_SIZES = {"minigpt4-vicuna": 224, "minigpt4-llama2": 224, "minigpt-v2": 448}
TOLERANCE = 1e-4
"""Largest difference, relative to the largest value, in float32."""


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    generator = np.random.default_rng(7)
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _rotated_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by a quarter
    return saved(Image.fromarray(noise(120, 90, 3)), "JPEG", exif=exif, quality=95)


IMAGES: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: saved(Image.fromarray(noise(97, 203, 3))),
    "RGBA": lambda: saved(Image.fromarray(noise(64, 300, 4))),
    "grayscale": lambda: saved(Image.fromarray(noise(224, 224))),
    "grayscale with alpha": lambda: saved(Image.fromarray(noise(50, 60, 2), "LA")),
    "bilevel": lambda: saved(Image.fromarray(noise(90, 70)).convert("1")),
    "palette": lambda: saved(Image.fromarray(noise(500, 100, 3)).quantize(32)),
    "palette with transparency": lambda: saved(
        Image.fromarray(noise(60, 60, 3)).quantize(16), transparency=3
    ),
    "CMYK": lambda: saved(Image.fromarray(noise(130, 80, 4), "CMYK"), "JPEG", quality=95),
    "16-bit": lambda: saved(Image.fromarray(noise(40, 40, dtype=np.uint16) >> 7)),
    "EXIF-rotated": _rotated_by_exif,
    "larger than the input": lambda: saved(Image.fromarray(noise(700, 900, 3))),
}


def _encode(folder: Path, data: bytes) -> torch.Tensor:
    encoder = load_vision_encoder(ModelFolder.open(folder).vision)
    with torch.inference_mode():
        return encoder(decode_pixels(data, encoder.config.image_size, 10**7)[None])


def _assert_same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert found.shape == wanted.shape
    scale = wanted.abs().max()
    assert 0.1 < scale < 100, "weights of an unhealthy scale prove nothing"
    assert (found - wanted).abs().max() / scale < TOLERANCE


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_are_the_originals(
    family: str,
    kind: str,
    published: Callable[[str], Published],
    imported: Callable[[str], Path],
) -> None:
    data, size = IMAGES[kind](), IMAGE_SIZES[family]
    wanted = projected_embeddings(published(family), image_pixels(data, size), size)
    _assert_same(_encode(imported(family), data), wanted)


def test_the_reference_notices_another_image(published: Callable[[str], Published]) -> None:
    """The comparison can fail: another image moves the embeddings by far more than the tolerance."""
    files = published("minigpt4-vicuna")
    one, other = (
        projected_embeddings(files, image_pixels(IMAGES[kind](), 224), 224)
        for kind in ("RGB", "RGBA")
    )
    assert (one - other).abs().max() / one.abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("instruct", [False, True])
def test_a_blip2_folder_is_as_good_as_the_two_files(
    instruct: bool,
    tmp_path: Path,
    published: Callable[[str], Published],
    imported: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = published("minigpt4-vicuna")
    write_blip2_folder(tmp_path / "blip2", files.eva, files.blip2, instruct)
    arguments = [*files.arguments[:2], "--qformer", str(tmp_path / "blip2"), *files.arguments[6:]]
    main(["import", str(tmp_path / "model"), *arguments])
    assert ("InstructBLIP" in capsys.readouterr().out) == instruct
    data = IMAGES["RGB"]()
    assert torch.equal(
        _encode(tmp_path / "model", data), _encode(imported("minigpt4-vicuna"), data)
    )


@pytest.mark.parametrize("family", ["minigpt4-llama2", "minigpt-v2"])
def test_a_blip2_folder_lends_its_vit_only(
    family: str,
    tmp_path: Path,
    published: Callable[[str], Published],
    imported: Callable[[str], Path],
) -> None:
    """Its ln_vision is left out: the original's families without a Q-Former never load one."""
    files = published(family)
    write_blip2_folder(tmp_path / "blip2", files.eva, files.blip2)
    arguments = [*files.arguments[:2], "--vit", str(tmp_path / "blip2"), *files.arguments[4:]]
    main(["import", str(tmp_path / "model"), *arguments])
    data = IMAGES["RGB"]()
    assert torch.equal(_encode(tmp_path / "model", data), _encode(imported(family), data))


class _Transformers(NamedTuple):
    """Classes of one published kind of folder."""

    model: Any
    config: Any
    text: PreTrainedConfig


TRANSFORMERS = {
    "BLIP-2": _Transformers(
        Blip2ForConditionalGeneration,
        Blip2Config,
        T5Config(vocab_size=40, d_model=48, d_kv=8, d_ff=64, num_layers=2, num_heads=2),
    ),
    "InstructBLIP": _Transformers(
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


def _written_by_transformers(kind: str, folder: Path) -> Any:
    """A random model of the library's own classes, saved in about 20 shards."""
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
    kind: str,
    tmp_path: Path,
    published: Callable[[str], Published],
    capsys: pytest.CaptureFixture[str],
) -> None:
    _written_by_transformers(kind, tmp_path / "folder")
    files = published("minigpt4-vicuna")
    arguments = [*files.arguments[:2], "--qformer", str(tmp_path / "folder"), *files.arguments[6:]]
    main(["import", str(tmp_path / "model"), *arguments])
    assert "nor this importer knows" not in capsys.readouterr().out
    load_vision_encoder(ModelFolder.open(tmp_path / "model").vision)


def test_a_blip2_folder_computes_what_transformers_does(
    tmp_path: Path, published: Callable[[str], Published]
) -> None:
    """The one difference, ln_vision's epsilon, is far below the tolerance at this scale."""
    model = _written_by_transformers("BLIP-2", tmp_path / "folder")
    files = published("minigpt4-vicuna")
    arguments = [*files.arguments[:2], "--qformer", str(tmp_path / "folder"), *files.arguments[6:]]
    main(["import", str(tmp_path / "model"), *arguments])
    with torch.inference_mode():
        features = model.vision_model(image_pixels(IMAGES["RGB"](), 224)).last_hidden_state
        queries = model.qformer(model.query_tokens, encoder_hidden_states=features)[0]
        weight, bias = (files.trained[f"llama_proj.{kind}"] for kind in ("weight", "bias"))
        wanted = torch.nn.functional.linear(queries, weight, bias)
    _assert_same(_encode(tmp_path / "model", IMAGES["RGB"]()), wanted)


def test_what_a_checkpoint_holds_counts_over_the_other_files(
    tmp_path: Path, published: Callable[[str], Published]
) -> None:
    """The original loads it last, so a Q-Former, ln_vision or ViT that was trained too wins."""
    files = published("minigpt4-vicuna")
    generator = torch.Generator().manual_seed(12)
    retrained = [
        "query_tokens",
        "ln_vision.weight",
        "Qformer.bert.encoder.layer.1.output_query.dense.weight",
    ]
    blip2 = {name: torch.randn(files.blip2[name].shape, generator=generator) for name in retrained}
    eva = {"blocks.1.attn.v_bias": torch.randn(VIT_WIDTH, generator=generator)}
    eva["blocks.1.attn.q_bias"] = torch.randn(VIT_WIDTH, generator=generator)
    under = {f"visual_encoder.{name}": tensor for name, tensor in eva.items()}
    torch.save(training_checkpoint(files.trained | blip2 | under), tmp_path / "ckpt.pth")
    arguments = list(files.arguments)
    arguments[arguments.index("--projection") + 1] = str(tmp_path / "ckpt.pth")
    main(["import", str(tmp_path / "model"), *arguments])
    together = replace(files, eva=files.eva | eva, blip2=files.blip2 | blip2)
    wanted = projected_embeddings(together, image_pixels(IMAGES["RGB"](), 224), 224)
    _assert_same(_encode(tmp_path / "model", IMAGES["RGB"]()), wanted)
    alone = projected_embeddings(files, image_pixels(IMAGES["RGB"](), 224), 224)
    assert (wanted - alone).abs().max() > 100 * TOLERANCE * wanted.abs().max()


def test_sizes_that_tensors_cannot_tell_can_be_given(
    tmp_path: Path, published: Callable[[str], Published]
) -> None:
    flags = ["--vit-heads", "4", "--vit-layers", "2", "--qformer-heads", "1"]
    main(["import", str(tmp_path / "model"), *published("minigpt4-vicuna").arguments, *flags])
    config = load_vision_encoder(ModelFolder.open(tmp_path / "model").vision).config
    assert config.qformer is not None
    assert (config.vit.num_attention_heads, config.vit.num_hidden_layers) == (4, 2)
    assert config.qformer.num_attention_heads == 1
