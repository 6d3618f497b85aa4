"""What the command line refuses before anything is loaded, in one line each."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from service.cli import main
from service.errors import AlignmentError, DatasetError
from service.model_folder.layout import ModelFolder
from service.training import command
from service.training.command import data_sets
from service.training.initial_projection import check_folder
from service.training.presets import LAION_TO_CC_SBU


def refusal(out: Path, *arguments: str, model: str = "nowhere") -> str:
    """The message with which ``align`` ends; with the default model, whatever comes first."""
    given = ["--preset", "stage1", "--model", model, "--data", "none.jsonl", "--out", str(out)]
    with pytest.raises(SystemExit) as stopped:
        main(["align", *given, *arguments])
    return str(stopped.value)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--checkpoint-steps=0", "--checkpoint-steps is 0; it must be a number of at least 1"),
        ("--workers=-1", "--workers is -1; it must be a number of at least 0"),
        ("--batch=0", "--batch is 0"),
        ("--epochs=0", "--epochs is 0"),
        ("--learning-rate=nan", "--learning-rate is nan"),
        ("--weight-decay=inf", "--weight-decay is inf"),
        ("--keep-features=nan", "--keep-features is nan"),
        ("--seed=99999999999999999999", "--seed is 9"),
        ("--crop-scale=0", "--crop-scale is 0.0; it must be above 0 and at most 1"),
        ("--crop-scale=1.5", "--crop-scale is 1.5"),
        ("--data=x=nan", "--data x=nan: the ratio must be a number above zero"),
        ("--data=x=inf", "--data x=inf: the ratio"),
        ("--data=x=-1", "--data x=-1: the ratio"),
        ("--data=x=0", "--data x=0: the ratio"),
        ("--data=x", "Of several data sets each needs a ratio: none.jsonl=RATIO"),
        ("--device=cuda:99", "The device cuda:99 is not there"),
        ("--device=tpu", "The device tpu is none of auto, cpu, cuda and cuda:N"),
        ("--device=cpu", "none.jsonl does not exist"),
        ("--projection=none.safetensors", "none.safetensors does not exist"),
    ],
)
def test_what_cannot_work_is_refused_at_once(tmp_path: Path, argument: str, said: str) -> None:
    message = refusal(tmp_path / "run", argument)
    assert message.startswith(f"minigpt4-service: {said}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("preset", "arguments", "said"),
    [
        ("stage2", "--keep-projection", "--keep-projection is for stage 1"),
        ("stage1", "--new-projection", "--new-projection is for stage 2"),
        (
            "stage2",
            "--initial-scale=0.1",
            "--initial-scale is of a new projection, and this run does",
        ),
        (
            "stage1",
            "--initial-scale=0.1 --keep-projection",
            "--initial-scale is of a new projection",
        ),
        (
            "stage1",
            "--initial-scale=0.1 --projection=FILE",
            "--initial-scale is of a new projection",
        ),
        (
            "stage1",
            "--keep-projection --projection=FILE",
            "--projection and --keep-projection: a run",
        ),
        ("stage2", "--new-projection --initial-scale=0.1", "none.jsonl does not exist"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    tmp_path: Path, preset: str, arguments: Any, said: str
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    given = arguments.replace("FILE", str(file)).split()
    message = refusal(tmp_path / "run", "--preset", preset, "--device=cpu", *given)
    assert message.startswith(f"minigpt4-service: {said}")


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        ("--preset=stage2", True),
        ("--preset=stage1 --keep-projection", True),
        ("--preset=stage1", False),
        ("--preset=stage2 --new-projection", False),
        ("--preset=stage2 --projection=FILE", False),
    ],
)
def test_a_trained_projection_is_not_dropped_without_a_word(
    tiny_folder: Path, arguments: Any, refused: str
) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    given = ["--model", str(tiny_folder), "--data", "x", "--out", "x", *arguments.split()]
    folder = ModelFolder.open(tiny_folder)
    check_folder(parser.parse_args(given), folder)
    other = parser.parse_args([*given, "--variant", "three-layers"])
    if refused:
        with pytest.raises(
            AlignmentError, match=r"would be dropped for a random one\. Train that form"
        ):
            check_folder(other, folder)
    else:
        check_folder(other, folder)


def test_a_language_model_of_the_hub_cannot_be_copied(tiny_folder: Path) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    given = ["--model", "x", "--data", "x", "--out", "x", "--preset", "stage1"]
    folder = ModelFolder.open(tiny_folder)
    index = folder.index.model_copy(update={"language_model": "lmsys/vicuna-7b-v1.5"})
    arguments = parser.parse_args([*given, "--copy-language-model"])
    with pytest.raises(AlignmentError, match=r"lmsys/vicuna-7b-v1\.5 is no folder on this disk"):
        check_folder(arguments, ModelFolder(folder.root, index))


def test_a_file_in_the_place_of_the_runs_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert f"{out} cannot be the run's folder" in refusal(out)


def test_the_model_itself_is_not_overwritten(tmp_path: Path) -> None:
    model = tmp_path / "run" / "model"
    assert "would be overwritten" in refusal(tmp_path / "run", model=str(model))


def test_an_interruption_is_one_line_that_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(place: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "open_source", interrupt)
    given = ["--preset", "stage1", "--model", "none", "--data", "x", "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as stopped:
        main(["align", *given, "--device", "cpu"])
    assert stopped.value.code == 130
    said = capsys.readouterr().err
    assert said == (
        f"Interrupted; {tmp_path / 'run'} has the last checkpoint, if there was one yet. Run again to go "
        "on.\n"
    )


def test_data_sets_and_their_ratios() -> None:
    laion, cc_sbu = LAION_TO_CC_SBU
    assert data_sets([f"a/{{0..9}}.tar={laion}", f"b=c.jsonl={cc_sbu}"]) == (
        ["a/{0..9}.tar", "b=c.jsonl"],
        [115.0, 14.0],
    )
    assert data_sets(["a=b.jsonl"]) == (["a=b.jsonl"], [1.0])
    assert data_sets(["115"]) == (["115"], [1.0])
    with pytest.raises(DatasetError, match="115 and 14"):
        data_sets(["a=115", "b"])
