"""Ways to need less memory learn the same, and the estimate is near what is measured."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from service.cli import main
from service.errors import AlignmentError
from service.model_folder.layout import ModelFolder
from service.training import language_model
from service.training.lora import LoraSettings
from service.training.memory_estimate import Sizes, estimate_memory
from service.training.model import AlignmentModel, FrozenSettings
from service.training.presets import PRESETS
from tests.training.runs import TWO_STEPS, around_image, make_trainer

DEFAULT_MODEL = Path(__file__).parents[2] / "service" / "models" / "demo"
STAGE = replace(PRESETS["stage2"], batch=4, target_tokens=100)


def compute_step(model: AlignmentModel, samples: int, target: int) -> tuple[Tensor, Tensor]:
    """The loss and the projection's gradient of a batch of images without content."""
    side = model.encoder.config.image_size
    pixels = torch.arange(samples, dtype=torch.uint8)[:, None, None, None].expand(-1, side, side, 3)
    sample = around_image([1, *[400] * 5], [401] * 26, list(range(300, 300 + target)))
    loss = model.loss(pixels * 20, [sample] * samples)
    for parameter in model.trained.values():
        parameter.grad = None
    loss.backward()
    gradient = model.encoder.projection.weight.grad
    assert isinstance(gradient, Tensor)
    return loss.detach(), gradient


def load(folder: Path, **settings: Any) -> AlignmentModel:
    return AlignmentModel.load(ModelFolder.open(folder), frozen=FrozenSettings(**settings))


def test_checkpointed_gradients_are_the_same_gradients(tiny_folder: Path) -> None:
    plain, checkpointed = load(tiny_folder), load(tiny_folder, checkpoint_gradients=True)
    assert not checkpointed.language_model.model.layers[0].mlp.training
    for expected, found in zip(
        compute_step(plain, 2, 9), compute_step(checkpointed, 2, 9), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_accumulated_batches_learn_what_one_batch_learns(
    tiny_folder: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.training.precision.has_fast_bfloat16", lambda: False)
    # Every caption has the same number of tokens, so the mean of two means is the mean.
    monkeypatch.setattr("service.training.tokenization.normalise_caption", lambda text: "a square")
    one = make_trainer(tiny_folder, colours, tmp_path / "one", TWO_STEPS)
    stage = replace(TWO_STEPS, batch=2, accumulate=2)
    two = make_trainer(tiny_folder, colours, tmp_path / "two", stage)
    one.run(), two.run()
    for name, tensor in one.model.state().items():
        torch.testing.assert_close(two.model.state()[name], tensor)


@pytest.mark.parametrize(("bits", "likeness"), [(8, 0.98), (4, 0.8)])
def test_a_quantised_language_model_gives_nearly_the_same_gradient(
    bits: Any, likeness: float
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bitsandbytes speaks of float32 on a CPU
        plain, quantised = load(DEFAULT_MODEL), load(DEFAULT_MODEL, bits=bits)
        expected, found = compute_step(plain, 2, 20), compute_step(quantised, 2, 20)
    torch.testing.assert_close(found[0], expected[0], rtol=0.1, atol=0)
    cosine = torch.nn.functional.cosine_similarity(found[1].flatten(), expected[1].flatten(), dim=0)
    assert cosine > likeness
    size = quantised.language_model.get_memory_footprint()
    assert size < (0.5 if bits == 8 else 0.4) * plain.language_model.get_memory_footprint()


def test_quantisation_without_its_packages_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(language_model, "find_spec", lambda name: None)
    language_model.check_bits(None)
    with pytest.raises(AlignmentError, match=r"needs accelerate and bitsandbytes: pip install"):
        language_model.check_bits(4)


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("rank", [0, 8])
def test_the_estimate_is_near_the_measured_peak(checkpoint: bool, rank: int) -> None:
    folder = ModelFolder.open(DEFAULT_MODEL)
    frozen = FrozenSettings(checkpoint_gradients=checkpoint)
    model = AlignmentModel.load(folder, lora=LoraSettings(rank) if rank else None, frozen=frozen)
    sizes, stage = Sizes.read(folder, "published"), replace(STAGE, lora_rank=rank)
    parts = estimate_memory(sizes, stage, 4, checkpoint_gradients=checkpoint)
    weights = sum(p.numel() for p in model.encoder.parameters())
    weights += sum(p.numel() for p in model.language_model.parameters())
    held = parts["vision encoder, frozen"] + parts["language model, frozen"]
    learning = sum(p.numel() for p in model.trained.values())
    assert held == 4 * (weights - learning)
    assert parts["projection and all that learns"] == 16 * learning
    compute_step(model, stage.batch, stage.target_tokens)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        compute_step(model, stage.batch, stage.target_tokens)
    estimated = parts["activations of the language model"] + parts["working memory"]
    assert estimated == pytest.approx(find_peak(measured), rel=0.15)


def find_peak(measured: Any) -> int:
    """The most bytes that were allocated at one time."""
    events = [e for e in measured.profiler.kineto_results.events() if e.name() == "[memory]"]
    allocated = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        allocated += event.nbytes()
        peak = max(peak, allocated)
    return peak


def test_a_dry_run_prints_the_estimate_and_loads_nothing(
    tiny_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(AlignmentModel, "load", None)
    given = ["--model", str(tiny_folder), "--data", "none.jsonl", "--out", str(tmp_path / "run")]
    main(["align", "--preset", "stage2", "--device", "cpu", *given, "--dry-run"])
    printed = capsys.readouterr().out
    for part in ("vision encoder", "language model", "all that learns", "activations", "peak"):
        assert part in printed
    assert not (tmp_path / "run").exists()
