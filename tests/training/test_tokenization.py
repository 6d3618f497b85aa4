"""The published formats, token for token, and the released settings."""

import math
import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from service.families import FAMILIES
from service.training.presets import LAION_TO_CC_SBU, PRESETS
from service.training.samples import Turn
from service.training.tokenization import (
    IGNORED,
    IMAGE,
    TokenizedSample,
    normalise_caption,
    tokenize_sample,
)


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tiny_folder / "tokenizer" / "tokenizer.json"))


def test_captions_are_normalised_as_published() -> None:
    assert normalise_caption('  A "Red" Dog: (running); fast...  \n') == "a red dog running fast"
    assert normalise_caption("it's, ok - yes?") == "it's, ok - yes?"
    assert normalise_caption(" ".join(["word"] * 60)).count("word") == 50


def tokenize(
    tokenizer: Tokenizer, stage: str, *turns: Turn, family: str = "minigpt4-vicuna"
) -> TokenizedSample:
    return tokenize_sample(tokenizer, FAMILIES[family], PRESETS[stage], turns, random.Random(0))


def spell(tokenizer: Tokenizer, ids: list[int]) -> str:
    """The pieces of the ids, joined; an image is IMAGE and a place without a label is a dot."""
    names = {IMAGE: "IMAGE", IGNORED: "."}
    return "".join(names.get(token) or tokenizer.id_to_token(token) or "" for token in ids)


def test_stage_1_has_only_the_caption(tokenizer: Tokenizer) -> None:
    sample = tokenize(tokenizer, "stage1", Turn(None, "A Red circle."))
    assert sample.ids[:2] == [tokenizer.token_to_id("<s>"), IMAGE]
    assert sample.labels == [IGNORED, IGNORED, *sample.ids[2:]]
    assert tokenizer.decode(sample.ids[2:]) == "a red circle\n"


def test_long_targets_are_cut(tokenizer: Tokenizer) -> None:
    def count(stage: str, words: int) -> tuple[int, bool]:
        sample = tokenize(tokenizer, stage, Turn(None, " ".join(["circle"] * words)))
        return sum(label != IGNORED for label in sample.labels), sample.is_cut

    assert count("stage1", 50) == (32, True)
    assert count("stage2", 400) == (160, True)
    assert count("stage2", 20)[1] is False


def test_stage_2_has_a_space_before_the_answers_tag(tokenizer: Tokenizer) -> None:
    sample = tokenize(tokenizer, "stage2", Turn(("", "Say."), "A circle."))
    assert spell(tokenizer, sample.ids) == (
        "<s>▁###Human:▁<Img>IMAGE▁</Img>▁Say.▁###Assistant:▁▁A▁circle.###"
    )
    learnt = [label for label in sample.labels if label != IGNORED]
    assert tokenizer.decode(learnt) == "A circle.###"


@pytest.mark.parametrize(
    ("family", "ids", "labels"),
    [
        (
            "minigpt4-vicuna",
            "<s>▁###Human:▁<Img>IMAGE▁</Img>▁one▁###Assistant:▁▁two###"
            "Human:▁three▁<Img>IMAGE▁</Img>▁four▁###Assistant:▁▁five###",
            "▁two### ▁five###",
        ),
        (
            "minigpt4-llama2",
            "<s>▁[INST]▁<Img>IMAGE▁</Img>▁one▁[/INST]▁▁two<s>"
            "▁[INST]▁three▁<Img>IMAGE▁</Img>▁four▁[/INST]▁▁five</s>",
            "▁two</s> ▁five</s>",
        ),
        (
            "minigpt-v2",
            "<s>▁[INST]▁<Img>IMAGE▁</Img>▁one▁[/INST]▁two<s>"
            "▁[INST]▁three▁<Img>IMAGE▁</Img>▁four▁[/INST]▁five</s>",
            "▁two</s> ▁five</s>",
        ),
    ],
)
def test_each_answer_of_a_conversation_is_learnt_in_the_prompts_of_the_service(
    tokenizer: Tokenizer, family: str, ids: str, labels: str
) -> None:
    turns = Turn(("", "one"), "two"), Turn(("three", "four"), "five")
    sample = tokenize(tokenizer, "stage2", *turns, family=family)
    assert spell(tokenizer, sample.ids) == ids
    assert " ".join(spell(tokenizer, sample.labels).replace(".", " ").split()) == labels
    assert (len(sample.labels), sample.images) == (len(sample.ids), 2)


def test_an_image_beyond_the_longest_target_is_counted_but_not_shown(tokenizer: Tokenizer) -> None:
    turns = Turn(("", "one"), " ".join(["circle"] * 300)), Turn(("", "three"), "four")
    sample = tokenize(tokenizer, "stage2", *turns)
    assert (sample.ids.count(IMAGE), sample.images, sample.is_cut) == (1, 2, True)


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


def test_the_presets_of_the_papers_differ_where_the_papers_do() -> None:
    assert PRESETS["paper-stage2"].steps == 400
    third = PRESETS["minigpt-v2-stage3"]
    assert (third.steps, third.batch * 4, third.learning_rate) == (35_000, 24, 1e-5)
    assert (third.lora_rank, third.lora_alpha, third.lora_dropout) == (64, 16, 0.05)
