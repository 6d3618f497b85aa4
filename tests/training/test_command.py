"""The command line refuses what cannot work in one line, before anything is loaded."""

import argparse
from pathlib import Path

import pytest

from service.cli import main
from service.errors import AlignmentError, DatasetError
from service.model_folder.layout import ModelFolder
from service.training import command
from service.training.arguments import parse_data_sets
from service.training.presets import LAION_TO_CC_SBU
from service.training.start_options import check_folder_options


def align(out: Path, *arguments: str, model: str = "nowhere") -> str:
    """Run ``align``, which must fail; returns its message."""
    given = ["--preset", "stage1", "--model", model, "--data", "none.jsonl", "--out", str(out)]
    with pytest.raises(SystemExit) as stopped:
        main(["align", *given, *arguments])
    return str(stopped.value)


@pytest.mark.parametrize(
    ("argument", "expected"),
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
        ("--data=x", "With several data sets each needs a ratio: none.jsonl=RATIO"),
        ("--device=cuda:99", "The device cuda:99 does not exist"),
        ("--device=tpu", "The device tpu is unknown: give auto, cpu, cuda or cuda:N"),
        ("--device=cpu", "none.jsonl does not exist"),
        ("--projection=none.safetensors", "none.safetensors does not exist"),
    ],
)
def test_an_unusable_argument_is_refused_at_once(
    tmp_path: Path, argument: str, expected: str
) -> None:
    message = align(tmp_path / "run", argument)
    assert message.startswith(f"minigpt4-service: {expected}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("preset", "arguments", "expected"),
    [
        ("stage2", "--keep-projection", "--keep-projection is for stage 1"),
        ("stage1", "--new-projection", "--new-projection is for stage 2"),
        (
            "stage2",
            "--initial-scale=0.1",
            "--initial-scale is for a new projection, and this run does",
        ),
        (
            "stage1",
            "--initial-scale=0.1 --keep-projection",
            "--initial-scale is for a new projection",
        ),
        (
            "stage1",
            "--initial-scale=0.1 --projection=FILE",
            "--initial-scale is for a new projection",
        ),
        (
            "stage1",
            "--keep-projection --projection=FILE",
            "--projection and --keep-projection: a run",
        ),
        ("stage2", "--new-projection --initial-scale=0.1", "none.jsonl does not exist"),
    ],
)
def test_an_option_without_effect_is_refused(
    tmp_path: Path, preset: str, arguments: str, expected: str
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    given = arguments.replace("FILE", str(file)).split()
    message = align(tmp_path / "run", "--preset", preset, "--device=cpu", *given)
    assert message.startswith(f"minigpt4-service: {expected}")


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
def test_a_trained_projection_is_not_dropped_silently(
    tiny_folder: Path, arguments: str, refused: bool
) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    given = ["--model", str(tiny_folder), "--data", "x", "--out", "x", *arguments.split()]
    folder = ModelFolder.open(tiny_folder)
    check_folder_options(parser.parse_args(given), folder)
    other = parser.parse_args([*given, "--variant", "three-layers"])
    if refused:
        with pytest.raises(
            AlignmentError, match=r"would be dropped for a random one\. Train that form"
        ):
            check_folder_options(other, folder)
    else:
        check_folder_options(other, folder)


def test_a_language_model_on_the_hub_cannot_be_copied(tiny_folder: Path) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    given = ["--model", "x", "--data", "x", "--out", "x", "--preset", "stage1"]
    folder = ModelFolder.open(tiny_folder)
    index = folder.index.model_copy(update={"language_model": "lmsys/vicuna-7b-v1.5"})
    arguments = parser.parse_args([*given, "--copy-language-model"])
    with pytest.raises(AlignmentError, match=r"lmsys/vicuna-7b-v1\.5 is not a folder on this disk"):
        check_folder_options(arguments, ModelFolder(folder.root, index))


def test_a_run_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert f"{out} cannot be the run's folder" in align(out)


def test_the_model_to_start_from_is_not_overwritten(tmp_path: Path) -> None:
    model = tmp_path / "run" / "model"
    assert "would be overwritten" in align(tmp_path / "run", model=str(model))


def test_ctrl_c_prints_how_to_resume_and_exits_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "open_data_set", interrupt)
    given = ["--preset", "stage1", "--model", "none", "--data", "x", "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as stopped:
        main(["align", *given, "--device", "cpu"])
    assert stopped.value.code == 130
    assert capsys.readouterr().err == (
        f"Interrupted. The last checkpoint, if there was one yet, is in {tmp_path / 'run'}: run "
        "again to resume from it.\n"
    )


def test_data_sets_are_split_from_their_ratios() -> None:
    laion, cc_sbu = LAION_TO_CC_SBU
    assert parse_data_sets([f"a/{{0..9}}.tar={laion}", f"b=c.jsonl={cc_sbu}"]) == (
        ["a/{0..9}.tar", "b=c.jsonl"],
        [115.0, 14.0],
    )
    assert parse_data_sets(["a=b.jsonl"]) == (["a=b.jsonl"], [1.0])
    assert parse_data_sets(["115"]) == (["115"], [1.0])
    with pytest.raises(DatasetError, match="115 and 14"):
        parse_data_sets(["a=115", "b"])
