"""The plan of an import: what is refused or warned about before anything is written."""

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.checkpoints.importing import (
    collect_warnings,
    refuse_import,
    replace_arguments,
    run_import,
    save_checkpoint,
)
from tests.malicious_pickle import MaliciousPickle
from tests.published.files import PublishedFiles

Get = Callable[[str], PublishedFiles]


@pytest.mark.parametrize(
    ("file", "datasets", "is_first_stage"),
    [
        ("checkpoint_3.pth", ("laion", "cc_sbu"), True),
        ("pretrained_minigpt4_stage1.pth", (), True),
        ("checkpoint_3.pth", ("cc_sbu_align",), False),
        ("pretrained_minigpt4.pth", (), False),
    ],
)
def test_a_first_stage_checkpoint_gets_a_warning(
    file: str,
    datasets: tuple[str, ...],
    is_first_stage: bool,
    tmp_path: Path,
    published: Get,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = published("minigpt4-vicuna")
    projection = save_checkpoint(tmp_path / file, files.trained, datasets=datasets)
    arguments = replace_arguments(files.arguments, projection=projection)
    warnings = collect_warnings(capsys, tmp_path / "model", arguments)
    assert ("stage 1" in warnings) == is_first_stage


def test_unknown_tensors_get_a_warning(
    tmp_path: Path, published: Get, capsys: pytest.CaptureFixture[str]
) -> None:
    files = published("minigpt4-vicuna")
    torch.save(files.eva | {"blocks.0.attn.surprise": torch.ones(2)}, tmp_path / "eva.pth")
    arguments = replace_arguments(files.arguments, vit=tmp_path / "eva.pth")
    assert "blocks.0.attn.surprise" in collect_warnings(capsys, tmp_path / "model", arguments)


def test_a_disk_that_is_too_small_is_refused(
    tmp_path: Path, published: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    message = refuse_import(tmp_path / "model", published("minigpt4-llama2").arguments)
    assert f"and {tmp_path} has" in message


def test_a_target_with_files_is_refused(tmp_path: Path, published: Get) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "mine").write_text("keep")
    with pytest.raises(SystemExit, match="not an empty folder"):
        run_import(target, published("minigpt4-vicuna").arguments)
    assert [path.name for path in target.iterdir()] == ["mine"]


@pytest.mark.parametrize("role", ["vit", "qformer", "projection", "llm"])
def test_a_malicious_file_runs_nothing_in_any_role(
    role: str, tmp_path: Path, published: Get
) -> None:
    files, mark = published("minigpt4-vicuna"), tmp_path / "it-ran"
    malicious = tmp_path / "malicious.pth"
    torch.save({"model": files.trained, "config": MaliciousPickle(mark)}, malicious)
    if role == "llm":
        folder = shutil.copytree(files.language_model, tmp_path / "llm")
        malicious = malicious.rename(folder / "pytorch_model-00001-of-00002.bin").parent
    arguments = replace_arguments(files.arguments, **{role: malicious})
    assert "could run code" in refuse_import(tmp_path / "model", arguments)
    assert not mark.exists()


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_file_is_refused_without_a_traceback(
    seed: int, tmp_path: Path, published: Get
) -> None:
    """One tensor is lost, renamed, renumbered or reshaped."""
    generator = random.Random(seed)
    files = published("minigpt4-vicuna")
    damaged = {
        "vit": dict(files.eva),
        "qformer": dict(files.blip2),
        "projection": dict(files.trained),
    }
    role = generator.choice([*damaged])
    tensors = damaged[role]
    ignored = r"blocks\.3|head|^norm|inv_freq|position|word|cls\.|t5|\d\.(inter|out)"
    name = generator.choice(sorted(name for name in tensors if not re.search(ignored, name)))
    value = tensors.pop(name)
    number = str(generator.choice([7, 99999, 10**30, "x"]))
    changes: list[Callable[[], None]] = [
        lambda: None,
        lambda: tensors.update({f"{name}.more": value}),
        lambda: tensors.update({re.sub(r"\d+", number, name, count=1) + "_": value}),
        lambda: tensors.update({name: value[:0]}),
        lambda: tensors.update({name: value[None]}),
        lambda: tensors.update({name: value.flatten()[:3]}),
        lambda: tensors.update({name: torch.tensor(1.0)}),
    ]
    generator.choice(changes)()
    torch.save({"model": tensors}, tmp_path / "damaged.pth")
    arguments = replace_arguments(files.arguments, **{role: tmp_path / "damaged.pth"})
    assert refuse_import(tmp_path / "model", arguments)
