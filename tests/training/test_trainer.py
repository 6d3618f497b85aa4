"""Runs on a tiny folder: what learns, and what a run writes."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from service.model_folder.layout import ModelFolder
from service.model_folder.validation import validate
from service.training.batches import Batch
from service.training.feature_cache import FeatureCache
from service.training.presets import PRESETS
from service.training.samples import Turn
from service.training.tokenization import IMAGE
from service.training.trained_parts import Variant
from service.vision.weights import load_vision_encoder
from tests.training.runs import TWO_STEPS, make_trainer


def test_the_loss_falls_and_only_the_projection_changes(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
    before = load_vision_encoder(tiny_folder / "vision").state_dict()
    trainer = make_trainer(tiny_folder, colours, tmp_path / "run")
    finished = ModelFolder.open(trainer.run())
    history = trainer.state.history.lines
    assert history[-1].loss < 0.8 * history[0].loss
    after = load_vision_encoder(finished.vision).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"projection.weight", "projection.bias"}
    saved = load_file(tmp_path / "run" / "projection.safetensors")
    assert torch.equal(saved["projection.weight"], after["projection.weight"])
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert Path(finished.language_model) == (tiny_folder / "language_model").resolve()


@pytest.mark.parametrize(
    ("interval", "steps"), [(4, [4, 6, 8, 12]), (5, [5, 6, 10, 12]), (500, [6, 12])]
)
def test_checkpoints_are_due_at_the_interval_and_at_each_epochs_end(
    tiny_folder: Path, colours: Path, tmp_path: Path, interval: int, steps: list[int]
) -> None:
    trainer = make_trainer(
        tiny_folder, colours, tmp_path / "run", checkpoint_steps=interval, workers=2
    )
    assert [done for done in range(1, 13) if trainer._is_checkpoint_due(done)] == steps


def test_biases_and_norms_have_no_weight_decay(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
    trainer = make_trainer(
        tiny_folder, colours, tmp_path / "run", PRESETS["stage1"], "train-qformer"
    )
    decaying, others = trainer.optimiser.param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    names = {id(parameter): name for name, parameter in trainer.model.trained.items()}
    assert {names[id(p)].rsplit(".", 1)[-1] for p in decaying["params"]} >= {"weight"}
    without_decay = {names[id(p)] for p in others["params"]}
    assert without_decay == {n for n in names.values() if n.endswith("bias") or "norm" in n.lower()}
    assert len(decaying["params"]) + len(without_decay) == len(names)


def test_each_sample_has_one_of_the_four_instructions(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
    trainer = make_trainer(tiny_folder, colours, tmp_path / "run", PRESETS["stage2"])
    tokenizer = trainer.model.tokenizer
    batches = []
    for number in range(100):
        batch = Batch(np.zeros(3, np.uint8), [(Turn(None, "a"),)] * 3, [], 0, [3])
        samples = trainer._tokenize(batch, number)
        prompts = [
            tokenizer.decode(
                [token for token in s.ids[1:] if token != IMAGE], skip_special_tokens=False
            )
            for s in samples
        ]
        batches.append([prompt.split("</Img> ")[1].split(" ###")[0] for prompt in prompts])
    assert any(len(set(batch)) > 1 for batch in batches)
    assert trainer._tokenize(batch, 99) == samples
    drawn = Counter(instruction for batch in batches for instruction in batch)
    assert drawn.keys() == {
        "Describe this image in detail.",
        "Take a look at this image and describe what you notice.",
        "Please provide a detailed description of the picture.",
        "Could you describe the contents of this image for me?",
    }
    assert min(drawn.values()) > 30


@pytest.mark.parametrize(
    ("variant", "learns", "visual_tokens"),
    [
        ("no-qformer", {"projection.weight", "projection.bias"}, 64),
        (
            "three-layers",
            {f"projection.{n}.{p}" for n in (0, 2, 4) for p in ("weight", "bias")},
            32,
        ),
    ],
)
def test_a_variant_trains_its_own_form_of_projection(
    tiny_folder: Path,
    colours: Path,
    tmp_path: Path,
    variant: Variant,
    learns: set[str],
    visual_tokens: int,
) -> None:
    trainer = make_trainer(tiny_folder, colours, tmp_path / "run", TWO_STEPS, variant)
    assert set(trainer.model.trained) == learns
    finished = ModelFolder.open(trainer.run())
    assert finished.index.visual_tokens == visual_tokens
    assert finished.index.without_qformer == (variant == "no-qformer")
    validate(finished)


def test_train_qformer_changes_the_qformer_and_not_the_vit(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
    before = load_vision_encoder(tiny_folder / "vision").state_dict()
    trainer = make_trainer(tiny_folder, colours, tmp_path / "run", TWO_STEPS, "train-qformer")
    after = load_vision_encoder(trainer.run() / "vision").state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("qformer.") for name in changed)
    assert not any(name.startswith(("vit.", "ln_vision.")) for name in changed)


@pytest.mark.parametrize(("max_bytes", "encoded"), [(10**9, 4), (0, 48)])
def test_cached_features_give_the_same_weights_with_less_encoding(
    tiny_folder: Path, colours: Path, tmp_path: Path, max_bytes: int, encoded: int
) -> None:
    plain = make_trainer(tiny_folder, colours, tmp_path / "plain")
    plain.run()
    caching = make_trainer(tiny_folder, colours, tmp_path / "caching")
    encode, seen = caching.model.encoder.visual_features, []

    def count(pixels: Tensor) -> Tensor:
        seen.append(len(pixels))
        return encode(pixels)

    caching.model.encoder.visual_features = count
    caching.model.cache_features(FeatureCache(max_bytes))
    caching.run()
    assert sum(seen) == encoded
    for name, tensor in plain.model.state().items():
        torch.testing.assert_close(caching.model.state()[name], tensor, rtol=0.02, atol=1e-4)
