"""The published formats, token for token, and the released settings."""

import math
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from service.families import FAMILIES
from service.training.formats import make_stage2_prompt, normalise_caption, tokenize_sample
from service.training.presets import LAION_TO_CC_SBU, PRESETS


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tiny_folder / "tokenizer" / "tokenizer.json"))


def test_captions_are_normalised_as_published() -> None:
    assert normalise_caption('  A "Red" Dog: (running); fast...  \n') == "a red dog running fast"
    assert normalise_caption("it's, ok - yes?") == "it's, ok - yes?"
    assert normalise_caption(" ".join(["word"] * 60)).count("word") == 50


def test_stage_1_has_only_the_caption(tokenizer: Tokenizer) -> None:
    sample = tokenize_sample(
        tokenizer, FAMILIES["minigpt4-vicuna"], PRESETS["stage1"], "A Red circle.", "ignored"
    )
    assert sample.before == [tokenizer.token_to_id("<s>")]
    assert sample.after == []
    assert tokenizer.decode(sample.target) == "a red circle\n"


def test_long_targets_are_cut(tokenizer: Tokenizer) -> None:
    family = FAMILIES["minigpt4-vicuna"]
    long = " ".join(["circle"] * 50)
    assert len(tokenize_sample(tokenizer, family, PRESETS["stage1"], long, "").target) == 32
    longer = " ".join(["circle"] * 400)
    assert len(tokenize_sample(tokenizer, family, PRESETS["stage2"], longer, "x").target) == 160


def test_stage_2_has_a_space_before_the_answers_tag(tokenizer: Tokenizer) -> None:
    family = FAMILIES["minigpt4-vicuna"]
    assert (
        make_stage2_prompt(family, "Say.") == "###Human: <Img><ImageHere></Img> Say. ###Assistant: "
    )
    sample = tokenize_sample(tokenizer, family, PRESETS["stage2"], "A circle.", "Say.")
    pieces = [tokenizer.id_to_token(token) or "" for token in sample.after]
    assert "".join(pieces) == "▁</Img>▁Say.▁###Assistant:▁"
    assert pieces[-1] == "▁"
    assert tokenizer.decode(sample.target) == "A circle.###"
    assert sample.before[0] == tokenizer.token_to_id("<s>")


def test_the_learning_rate_follows_the_released_schedule() -> None:
    stage = PRESETS["stage2"]
    assert stage.rate(0) == 1e-6
    assert stage.rate(100) == pytest.approx((3e-5 + 1e-6) / 2)
    # The cosine counts from the first step of the run.
    assert stage.rate(200) == pytest.approx(1e-5 + 2e-5 * 0.5 * (1 + math.cos(math.pi / 5)))
    assert stage.rate(1000) == pytest.approx(1e-5)
    assert PRESETS["stage1"].steps == 20_000
    rates = [stage.rate(step) for step in range(200, 1000)]
    assert rates == sorted(rates, reverse=True)


def test_the_presets_are_the_released_ones() -> None:
    # From train_configs/ of the authors' repository: minigpt4_stage1_pretrain.yaml and
    # minigpt4_stage2_finetune.yaml.
    first, second = PRESETS["stage1"], PRESETS["stage2"]
    assert (first.name, first.batch, first.epochs, first.steps_per_epoch) == ("stage1", 64, 4, 5000)
    assert (first.learning_rate, first.final_learning_rate) == (1e-4, 8e-5)
    assert (first.warmup_steps, first.warmup_learning_rate) == (5000, 1e-6)
    assert (second.name, second.batch, second.epochs, second.steps_per_epoch) == (
        "stage2",
        12,
        5,
        200,
    )
    assert (second.learning_rate, second.final_learning_rate) == (3e-5, 1e-5)
    assert (second.warmup_steps, second.warmup_learning_rate) == (200, 1e-6)
    assert (first.weight_decay, second.weight_decay) == (0.05, 0.05)
    assert (first.target_tokens, second.target_tokens) == (32, 160)
    assert (first.initial_scale, second.initial_scale) == (1.0, 1.0)
    assert LAION_TO_CC_SBU == (115, 14)
