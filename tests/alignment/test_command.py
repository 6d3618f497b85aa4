"""What the command line refuses before anything is loaded, in one line each."""

from pathlib import Path

import pytest

from service.alignment import command
from service.alignment.command import data_sets
from service.alignment.presets import LAION_TO_CC_SBU
from service.cli import main
from service.errors import DatasetError


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
def test_what_cannot_work_is_refused_at_once(tmp_path, argument, said):
    message = refusal(tmp_path / "run", argument)
    assert message.startswith(f"minigpt4-service: {said}")
    assert "\n" not in message


def test_a_file_in_the_place_of_the_runs_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert f"{out} cannot be the run's folder" in refusal(out)


def test_the_model_itself_is_not_overwritten(tmp_path):
    model = tmp_path / "run" / "model"
    assert "would be overwritten" in refusal(tmp_path / "run", model=str(model))


def test_an_interruption_is_one_line_that_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def interrupt(place):
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


def test_data_sets_and_their_ratios():
    laion, cc_sbu = LAION_TO_CC_SBU
    assert data_sets([f"a/{{0..9}}.tar={laion}", f"b=c.jsonl={cc_sbu}"]) == (
        ["a/{0..9}.tar", "b=c.jsonl"],
        [115.0, 14.0],
    )
    assert data_sets(["a=b.jsonl"]) == (["a=b.jsonl"], [1.0])
    assert data_sets(["115"]) == (["115"], [1.0])
    with pytest.raises(DatasetError, match="115 and 14"):
        data_sets(["a=115", "b"])
