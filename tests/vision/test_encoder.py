"""The torch encoder against an independent computation, and batches against single images."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import (
    QFormerShape,
    VisionConfig,
    ViTShape,
    load_vision_config,
)
from service.vision.encoder import TorchEncoder, choose_dtype
from service.vision.model import PIXEL_MEAN, PIXEL_STD
from service.vision.weights import load_vision_encoder
from tests.vision.fake_encoder import CONFIG

Weights = dict[str, Tensor]


def make_images(config: VisionConfig, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (count, config.image_size, config.image_size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def encode_plainly(weights: Weights, config: VisionConfig, pixels: Tensor) -> Tensor:
    """Encode one image ``[size, size, 3]`` to ``[visual_tokens, hidden]`` without modules."""
    scaled = (pixels.permute(2, 0, 1) / 255 - torch.tensor(PIXEL_MEAN)[:, None, None]) / (
        torch.tensor(PIXEL_STD)[:, None, None]
    )
    features = vit(weights, config, scaled)
    features = norm(weights, "ln_vision", features, 1e-5)
    if config.qformer:
        features = qformer(weights, config, features)
    else:
        features = torch.stack([row.flatten() for row in features[1:].split(4)])
    return dense(weights, "projection", features)


def vit(weights: Weights, config: VisionConfig, scaled: Tensor) -> Tensor:
    size = config.vit.patch_size
    patches = scaled.unfold(1, size, size).unfold(2, size, size)
    rows = patches.permute(1, 2, 0, 3, 4).reshape(config.patches, -1)
    kernel = weights["vit.embeddings.patch_embedding.weight"].flatten(1)
    rows = linear(rows, kernel, weights["vit.embeddings.patch_embedding.bias"])
    hidden = torch.cat([weights["vit.embeddings.class_embedding"][0], rows])
    hidden = hidden + weights["vit.embeddings.position_embedding"][0]
    heads = config.vit.num_attention_heads
    for index in range(config.vit.num_hidden_layers):
        block = f"vit.encoder.layers.{index}"
        normed = norm(weights, f"{block}.layer_norm1", hidden, 1e-6)
        query, key, value = dense(weights, f"{block}.self_attn.qkv", normed).chunk(3, dim=-1)
        attended = attend(query, key, value, heads)
        hidden = hidden + dense(weights, f"{block}.self_attn.projection", attended)
        normed = norm(weights, f"{block}.layer_norm2", hidden, 1e-6)
        hidden = hidden + mlp(weights, f"{block}.mlp.fc1", f"{block}.mlp.fc2", normed)
    return hidden


def qformer(weights: Weights, config: VisionConfig, features: Tensor) -> Tensor:
    shape = config.qformer
    assert shape is not None
    hidden = norm(weights, "qformer.layernorm", weights["query_tokens"][0], 1e-12)
    for index in range(shape.num_hidden_layers):
        layer = f"qformer.encoder.layer.{index}"
        hidden = bert_attention(weights, f"{layer}.attention", hidden, hidden, shape)
        if index % 2 == 0:
            hidden = bert_attention(weights, f"{layer}.crossattention", hidden, features, shape)
        out = f"{layer}.output_query"
        fed = mlp(weights, f"{layer}.intermediate_query.dense", f"{out}.dense", hidden)
        hidden = norm(weights, f"{out}.LayerNorm", fed + hidden, 1e-12)
    return hidden


def bert_attention(
    weights: Weights, name: str, hidden: Tensor, source: Tensor, shape: ViTShape | QFormerShape
) -> Tensor:
    query = dense(weights, f"{name}.attention.query", hidden)
    key = dense(weights, f"{name}.attention.key", source)
    value = dense(weights, f"{name}.attention.value", source)
    attended = attend(query, key, value, shape.num_attention_heads)
    output = dense(weights, f"{name}.output.dense", attended)
    return norm(weights, f"{name}.output.LayerNorm", output + hidden, 1e-12)


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    columns = []
    for q, k, v in zip(*(t.chunk(heads, dim=-1) for t in (query, key, value)), strict=True):
        columns.append(torch.softmax(q @ k.T / math.sqrt(q.shape[-1]), dim=-1) @ v)
    return torch.cat(columns, dim=-1)


def mlp(weights: Weights, first: str, second: str, hidden: Tensor) -> Tensor:
    return dense(weights, second, gelu(dense(weights, first, hidden)))


def dense(weights: Weights, name: str, hidden: Tensor) -> Tensor:
    return linear(hidden, weights[f"{name}.weight"], weights[f"{name}.bias"])


def norm(weights: Weights, name: str, hidden: Tensor, eps: float) -> Tensor:
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return layer_norm(hidden, hidden.shape[-1:], weight, bias, eps)


@torch.inference_mode()
def test_embeddings_equal_a_plain_computation(any_family: ModelFolder) -> None:
    encoder = load_vision_encoder(any_family.vision)
    pixels = make_images(encoder.config, 2)
    embeddings = encoder(pixels)
    assert embeddings.shape == (2, any_family.index.visual_tokens, encoder.config.hidden_size)
    for image, rows in zip(pixels, embeddings, strict=True):
        expected = encode_plainly(encoder.state_dict(), encoder.config, image)
        assert (rows - expected).norm() / expected.norm() < 1e-5
    difference = (embeddings[0] - embeddings[1]).norm() / embeddings[0].norm()
    assert difference > 1e-3, "the embeddings must depend on the image"


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(any_family: ModelFolder, dtype: torch.dtype) -> None:
    exact = load_vision_encoder(any_family.vision)
    half = load_vision_encoder(any_family.vision, dtype)
    pixels = make_images(exact.config, 1)
    expected, found = exact(pixels).flatten(), half(pixels).float().flatten()
    assert torch.cosine_similarity(expected, found, dim=0) > 0.999
    assert half.pixel_mean.dtype == torch.float32


def test_a_batch_gives_the_same_embeddings_as_single_images(any_family: ModelFolder) -> None:
    config = load_vision_config(any_family.vision)
    encoder = TorchEncoder(any_family.vision, config, torch.device("cpu"), torch.float32, [1, 4])
    encoder.startup()
    pixels = make_images(config, 3)
    together = encoder.begin(list(pixels)).get()
    alone = torch.cat([encoder.begin([image]).get() for image in pixels])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("size", [225, 14])
def test_impossible_image_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=r"multiple|grouped"):
        VisionConfig(image_size=size, qformer=None)


@pytest.mark.parametrize(
    ("name", "device", "pays", "expected"),
    [
        ("auto", "cpu", True, torch.bfloat16),
        ("auto", "cpu", False, torch.float32),
        ("auto", "cuda", False, torch.bfloat16),
        ("float32", "cuda", True, torch.float32),
        ("float32", "cpu", True, torch.float32),
        ("bfloat16", "cpu", False, torch.bfloat16),
    ],
)
def test_auto_uses_half_precision_on_a_cpu_only_if_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, name: str, device: str, pays: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr("service.vision.encoder.has_fast_bfloat16", lambda: pays)
    assert choose_dtype(name, torch.device(device)) is expected


def test_features_are_what_the_projection_reads(any_family: ModelFolder) -> None:
    config = load_vision_config(any_family.vision)
    cpu, pixels = torch.device("cpu"), make_images(config, 2)
    outputs = []
    for features in (True, False):
        encoder = TorchEncoder(
            any_family.vision, config, cpu, torch.float32, [1], 1, features=features
        )
        encoder.startup()
        outputs.append(encoder.begin(list(pixels)).get())
    assert outputs[0].shape == (2, config.visual_tokens, config.projection_width)
    projection = load_vision_encoder(any_family.vision).projection
    torch.testing.assert_close(projection(outputs[0]), outputs[1])


def test_a_gpu_with_a_number_becomes_the_threads_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []

    def load(*_: object) -> torch.nn.Module:
        assert chosen == [torch.device("cuda", 1)], "graphs would be captured on another GPU"
        raise RuntimeError("no GPU here")

    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    monkeypatch.setattr("service.vision.encoder.load_vision_encoder", load)
    encoder = TorchEncoder(Path(), CONFIG, torch.device("cuda", 1), torch.float32, [1])
    with pytest.raises(RuntimeError, match="no GPU here"):
        encoder.startup()
