"""Loading a model folder, the loss over the targets, and saving."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from service.cli import main
from service.errors import AlignmentError, ModelFolderError
from service.model_folder.layout import ModelFolder, Provenance, write_index
from service.tensors.hashing import sha256
from service.training import model as model_module
from service.training.feature_cache import FeatureCache
from service.training.model import AlignmentModel
from service.training.trained_parts import Variant
from tests.training.runs import around_image

SAMPLES = [
    around_image([1], [], [300, 301]),
    around_image([1, 400], [401, 402, 403], [300, 301, 302, 303]),
]


@pytest.fixture
def copied_folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A folder that a test may damage."""
    return shutil.copytree(tiny_folder, tmp_path / "copied")


def draw_pixels(number: int) -> torch.Tensor:
    return torch.randint(0, 256, (number, 224, 224, 3), dtype=torch.uint8)


def test_a_projection_of_another_size_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "projection.safetensors"
    save_file(
        {"projection.weight": torch.zeros(5120, 48), "projection.bias": torch.zeros(5120)}, file
    )
    model = AlignmentModel.load(ModelFolder.open(tiny_folder))
    with pytest.raises(AlignmentError, match="5120"):
        model.load_projection(file)


def test_padding_does_not_change_a_samples_loss(tiny_folder: Path) -> None:
    model = AlignmentModel.load(ModelFolder.open(tiny_folder))
    pixels = draw_pixels(2)
    with torch.no_grad():
        together = model.loss(pixels, SAMPLES)
        alone = [model.loss(pixels[i : i + 1], SAMPLES[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together, (2 * alone[0] + 4 * alone[1]) / 6)


def test_features_are_not_cached_if_the_qformer_learns(tiny_folder: Path) -> None:
    model = AlignmentModel.load(ModelFolder.open(tiny_folder), "train-qformer", fresh=True)
    model.cache_features(FeatureCache(10**9))
    assert not isinstance(model.features, FeatureCache)


@pytest.mark.parametrize("variant", ["published", "three-layers"])
def test_only_the_last_layer_of_a_new_projection_starts_small(
    tiny_folder: Path, variant: Variant
) -> None:
    def start(**options: Any) -> dict[str, Tensor]:
        folder = ModelFolder.open(tiny_folder)
        return AlignmentModel.load(folder, variant, fresh=True, **options).state()

    plain, small = start(), start(initial_scale=0.25)
    last = sorted(plain)[-2:]
    for name, tensor in plain.items():
        torch.testing.assert_close(small[name], tensor * 0.25 if name in last else tensor)


def test_the_loss_equals_that_of_transformers_with_labels_on_the_targets(tiny_folder: Path) -> None:
    model = AlignmentModel.load(ModelFolder.open(tiny_folder))
    pixels = draw_pixels(1)
    before, target = [1, 400], [300, 301, 302]
    after = [401, 402]
    with torch.no_grad():
        ours = model.loss(pixels, [around_image(before, after, target)])
        table = model.language_model.get_input_embeddings()
        image = model.encoder(pixels)[0]
        pieces = [table(torch.tensor(ids)) for ids in (before, after, target)]
        inputs = torch.cat([pieces[0], image, *pieces[1:]])[None]
        labels = torch.full(inputs.shape[:2], -100)
        labels[0, -len(target) :] = torch.tensor(target)
        theirs = model.language_model(inputs_embeds=inputs, labels=labels).loss
    torch.testing.assert_close(ours, theirs)


def test_a_language_model_of_another_width_is_refused(copied_folder: Path) -> None:
    file = copied_folder / "language_model" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"hidden_size": 256}))
    with pytest.raises(
        ModelFolderError, match=r"projection is 128 wide, the language model .* 256"
    ):
        AlignmentModel.load(ModelFolder.open(copied_folder))


def test_a_language_model_on_the_hub_of_another_width_is_refused(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = SimpleNamespace(config=SimpleNamespace(hidden_size=256))
    monkeypatch.setattr(model_module, "load_language_model", lambda *_: wide)
    with pytest.raises(AlignmentError, match=r"writes 128 values, but .* a width of 256"):
        AlignmentModel.load(ModelFolder.open(tiny_folder))


def test_an_incomplete_folder_is_refused(copied_folder: Path) -> None:
    weights = copied_folder / "language_model" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFolderError, match=r"model.safetensors cannot be read"):
        AlignmentModel.load(ModelFolder.open(copied_folder))
    weights.write_bytes(whole)
    (copied_folder / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(ModelFolderError, match=r"holds no tokenizer.json"):
        AlignmentModel.load(ModelFolder.open(copied_folder))


@pytest.mark.parametrize("variant", ["published", "three-layers", "no-qformer", "train-qformer"])
def test_frozen_tensors_are_saved_in_their_stored_format(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: Variant
) -> None:
    monkeypatch.setattr(model_module, "_frozen_dtype", lambda device: torch.bfloat16)
    folder = _mix_dtypes(shutil.copytree(tiny_folder, tmp_path / "mixed"))
    model = AlignmentModel.load(ModelFolder.open(folder), variant)
    held = {name: p.dtype for name, p in model.encoder.named_parameters()}
    learning = {name for name, dtype in held.items() if dtype == torch.float32}
    assert learning == set(model.trained)
    assert {p.dtype for p in model.language_model.parameters()} == {torch.bfloat16}
    with torch.autocast("cpu", torch.bfloat16):
        model.loss(draw_pixels(2), SAMPLES).backward()
    model.save_folder(tmp_path / "saved", [], copy=False)
    stored = load_file(folder / "vision" / "model.safetensors")
    saved = load_file(tmp_path / "saved" / "vision" / "model.safetensors")
    assert saved.keys() == model.encoder.state_dict().keys()
    for name, tensor in saved.items():
        if name in model.trained:
            kept = stored.get(name, stored["projection.weight"]).dtype
            assert torch.equal(tensor, model.trained[name].to(kept))
        else:
            assert tensor.dtype == stored[name].dtype
            if variant == "no-qformer" and name.startswith("ln_vision."):
                # The original applies this norm at its initial values there.
                assert set(tensor.tolist()) == {float(name.endswith("weight"))}
                continue
            assert torch.equal(tensor, stored[name])


def _mix_dtypes(folder: Path) -> Path:
    """Store the ViT in half precision and the rest in single, as an import does."""
    file = folder / "vision" / "model.safetensors"
    tensors = load_file(file)
    half = {name: t.half() if name.startswith("vit.") else t for name, t in tensors.items()}
    half["ln_vision.weight"] = half["ln_vision.weight"].bfloat16()
    save_file(half, file, metadata={"format": "pt"})
    return folder


def test_a_finished_folder_lists_the_folders_that_training_started_from(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ModelFolder.open(shutil.copytree(tiny_folder, tmp_path / "models" / "base"))
    imported = Provenance(
        made_by="import 1",
        sources={"vit/eva.pth": {"path": "eva.pth", "sha256": "abc"}},
        notes=["A v1.5."],
    )
    write_index(folder.root, folder.index.model_copy(update={"provenance": imported}))
    for stage in ("stage1", "stage2"):
        model = AlignmentModel.load(ModelFolder.open(folder.root))
        model.save_folder(tmp_path / stage / "model", [f"{stage} done."], copy=False)
        folder = ModelFolder.open(tmp_path / stage / "model")
    main(["inspect", str(folder.root)])
    printed = " ".join(capsys.readouterr().out.split())
    digest = sha256(tmp_path / "stage1" / "model" / "vision" / "model.safetensors")
    assert f"made from {digest} trained from (stage1/model, made by align" in printed
    assert "trained from 2 (models/base, made by import 1) A v1.5." in printed
    assert "made from abc vit/eva.pth (eva.pth)" in printed
    assert "note stage2 done." in printed
    assert "()" not in printed
