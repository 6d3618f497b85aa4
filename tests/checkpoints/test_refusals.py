"""Files that do not belong together: what is said, before anything is written."""

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from service.cli import main
from service.model_folder.layout import ModelFolder
from tests.checkpoints.published import (
    QFORMER_WIDTH,
    VIT_WIDTH,
    Published,
    llama_config,
    training_checkpoint,
    write_blip2_folder,
    write_llama,
    write_shards,
)

Get = Callable[[str], Published]


def _refused(target: Path, arguments: Sequence[str]) -> str:
    """The message of an import that must fail and write nothing."""
    with pytest.raises(SystemExit) as exit_:
        main(["import", str(target), *arguments])
    assert not target.exists()
    assert not list(target.parent.glob(f".{target.name}*"))
    return str(exit_.value)


def _warned(capsys: pytest.CaptureFixture[str], target: Path, arguments: Sequence[str]) -> str:
    """What an import that succeeds prints; warnings must be in the folder too."""
    main(["import", str(target), *arguments])
    printed = capsys.readouterr().out
    provenance = ModelFolder.open(target).index.provenance
    assert provenance is not None
    warnings = [line.split("warning: ")[1] for line in printed.splitlines() if "warning: " in line]
    assert provenance.notes == warnings
    return "\n".join(warnings)


def _with(arguments: Sequence[str], **changes: Path | None) -> list[str]:
    """The same command line with some of its values replaced, or taken out."""
    parts = list(arguments)
    for name, value in changes.items():
        position = parts.index(f"--{name}")
        parts[position : position + 2] = [] if value is None else [f"--{name}", str(value)]
    return parts


def _saved(file: Path, tensors: dict[str, Tensor], **options: object) -> Path:
    torch.save(training_checkpoint(tensors, **options), file)  # type: ignore[arg-type]
    return file


def test_a_projection_of_another_model_size(tmp_path: Path, published: Get) -> None:
    files = published("minigpt4-vicuna")
    wide = {
        "llama_proj.weight": torch.ones(96, QFORMER_WIDTH),
        "llama_proj.bias": torch.ones(96),
    }
    projection = _saved(tmp_path / "13b.pth", wide)
    message = _refused(tmp_path / "model", _with(files.arguments, projection=projection))
    assert "width 96" in message
    assert "reads 64" in message
    assert "same size" in message


@pytest.mark.parametrize(
    ("given", "asked", "advice"),
    [
        ("minigpt4-llama2", "minigpt4-vicuna", "import it as minigpt4-llama2"),
        ("minigpt4-vicuna", "minigpt4-llama2", "import it as minigpt4-vicuna"),
        ("minigpt-v2", "minigpt4-llama2", "--family minigpt-v2"),
        ("minigpt4-llama2", "minigpt-v2", "--family minigpt4-llama2"),
    ],
)
def test_a_projection_of_another_family(
    given: str,
    asked: str,
    advice: str,
    tmp_path: Path,
    published: Get,
) -> None:
    arguments = _with(published(asked).arguments, projection=published(given).projection)
    assert advice in _refused(tmp_path / "model", arguments)


def test_files_in_each_others_place(tmp_path: Path, published: Get) -> None:
    files = published("minigpt4-vicuna")
    swapped = _with(files.arguments, vit=files.qformer, qformer=files.vit)
    assert "should be eva_vit_g.pth" in _refused(tmp_path / "model", swapped)
    no_qformer = _with(files.arguments, qformer=files.vit)
    assert "should be blip2_pretrained" in _refused(tmp_path / "model", no_qformer)
    no_projection = _with(files.arguments, projection=files.qformer)
    assert "holds no projection" in _refused(tmp_path / "model", no_projection)
    a_file = _with(files.arguments, llm=files.vit)
    assert "takes a Hugging Face folder" in _refused(tmp_path / "model", a_file)
    nothing = _with(files.arguments, vit=tmp_path / "nowhere" / "eva.pth")
    assert "no such file" in _refused(tmp_path / "model", nothing)


def test_delta_weights_are_recognised_by_their_statistics(tmp_path: Path, published: Get) -> None:
    folder = tmp_path / "vicuna-7b"
    tensors = write_llama(folder)
    delta = {name: 0.002 * torch.randn_like(tensor) for name, tensor in tensors.items()}
    write_shards(folder, delta, binary=True)
    files = published("minigpt4-vicuna")
    message = _refused(tmp_path / "model", _with(files.arguments, llm=folder))
    assert "delta weights" in message
    assert "apply_delta" in message


def test_whole_weights_in_a_folder_called_delta_are_taken(
    tmp_path: Path, published: Get, capsys: pytest.CaptureFixture[str]
) -> None:
    write_llama(tmp_path / "vicuna-7b-delta-v0")
    arguments = _with(published("minigpt4-vicuna").arguments, llm=tmp_path / "vicuna-7b-delta-v0")
    assert _warned(capsys, tmp_path / "model", arguments) == ""


@pytest.mark.parametrize(
    ("name", "llama2", "warned"),
    [
        ("vicuna-7b-v0", False, None),
        ("vicuna-7b", False, None),
        ("vicuna-7b-v1.1", False, "v1.1"),
        ("vicuna-7b-v1.5", True, "v1.5"),
        ("my-language-model", True, "made from Llama-2"),
    ],
)
def test_later_vicunas_work_with_a_warning(
    name: str,
    llama2: bool,
    warned: str | None,
    tmp_path: Path,
    published: Get,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_llama(tmp_path / name, llama2=llama2)
    arguments = _with(published("minigpt4-vicuna").arguments, llm=tmp_path / name)
    found = _warned(capsys, tmp_path / "model", arguments)
    assert (warned in found and "Vicuna v0" in found) if warned else found == ""


def test_llama1_under_a_llama2_family_is_warned_about(
    tmp_path: Path, published: Get, capsys: pytest.CaptureFixture[str]
) -> None:
    write_llama(tmp_path / "llm", llama2=False)
    arguments = _with(published("minigpt4-llama2").arguments, llm=tmp_path / "llm")
    assert "Llama-2-chat 7B" in _warned(capsys, tmp_path / "model", arguments)


@pytest.mark.parametrize(
    ("file", "datasets", "first_stage"),
    [
        ("checkpoint_3.pth", ("laion", "cc_sbu"), True),
        ("pretrained_minigpt4_stage1.pth", (), True),
        ("checkpoint_3.pth", ("cc_sbu_align",), False),
        ("pretrained_minigpt4.pth", (), False),
    ],
)
def test_a_first_stage_checkpoint_is_noted(
    file: str,
    datasets: tuple[str, ...],
    first_stage: bool,
    tmp_path: Path,
    published: Get,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = published("minigpt4-vicuna")
    projection = _saved(tmp_path / file, files.trained, datasets=datasets)
    arguments = _with(files.arguments, projection=projection)
    assert ("stage 1" in _warned(capsys, tmp_path / "model", arguments)) == first_stage


@pytest.mark.parametrize(
    ("extra", "origin"),
    [
        ({"opt_proj.weight": (8, QFORMER_WIDTH)}, "OPT"),
        ({"itm_head.weight": (2, QFORMER_WIDTH)}, "no language model"),
        ({"t5_proj.weight": (2048, QFORMER_WIDTH)}, "FLAN-T5 XL"),
        ({"t5_proj.weight": (4096, QFORMER_WIDTH)}, None),
    ],
)
def test_a_qformer_of_another_blip2_is_warned_about(
    extra: dict[str, tuple[int, ...]],
    origin: str | None,
    tmp_path: Path,
    published: Get,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = published("minigpt4-vicuna")
    tensors = {name: torch.ones(shape) for name, shape in extra.items()}
    torch.save({"model": files.blip2 | tensors}, tmp_path / "blip2.pth")
    arguments = _with(files.arguments, qformer=tmp_path / "blip2.pth")
    found = _warned(capsys, tmp_path / "model", arguments)
    assert (f"another BLIP-2 model, trained with {origin}" in found) if origin else found == ""


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ({"model_type": "opt"}, "opt"),
        ({"model_type": "t5", "d_model": 2048}, "FLAN-T5 XL"),
        ({"model_type": "t5", "d_model": 4096}, None),
    ],
)
def test_a_folder_of_another_blip2_is_warned_about(
    text: dict[str, object],
    origin: str | None,
    tmp_path: Path,
    published: Get,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = published("minigpt4-vicuna")
    write_blip2_folder(tmp_path / "blip2", files.eva, files.blip2)
    config = tmp_path / "blip2" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"text_config": text}))
    arguments = _with(files.arguments, qformer=tmp_path / "blip2", vit=None)
    found = _warned(capsys, tmp_path / "model", arguments)
    assert (f"another BLIP-2 model, trained with {origin}" in found) if origin else found == ""


def test_a_full_disk_is_noticed_beforehand(
    tmp_path: Path, published: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    message = _refused(tmp_path / "model", published("minigpt4-llama2").arguments)
    assert f"and {tmp_path} has" in message


def test_missing_tensors_are_named_as_in_their_file(tmp_path: Path, published: Get) -> None:
    files = published("minigpt4-vicuna")
    eva, blip2 = dict(files.eva), dict(files.blip2)
    del eva["blocks.1.attn.v_bias"], eva["blocks.0.norm2.weight"]
    del blip2["ln_vision.bias"]
    del blip2["Qformer.bert.encoder.layer.2.crossattention.self.key.weight"]
    torch.save(eva, tmp_path / "eva.pth")
    torch.save({"model": blip2}, tmp_path / "blip2.pth")
    arguments = _with(files.arguments, vit=tmp_path / "eva.pth", qformer=tmp_path / "blip2.pth")
    message = _refused(tmp_path / "model", arguments)
    for name in (
        "blocks.1.attn.q_bias and v_bias",
        "blocks.0.norm2.weight",
        "ln_vision.bias",
        "Qformer.bert.encoder.layer.2.crossattention.self.key.weight",
    ):
        assert f"missing: {name} in " in message
    assert message.count("missing: ") == 4


def test_wrong_shapes_are_named(tmp_path: Path, published: Get) -> None:
    files = published("minigpt4-llama2")
    eva = dict(files.eva)
    eva["blocks.1.mlp.fc2.weight"] = torch.ones(VIT_WIDTH, 4)
    torch.save(eva, tmp_path / "eva.pth")
    message = _refused(tmp_path / "model", _with(files.arguments, vit=tmp_path / "eva.pth"))
    assert f"mlp.fc2.weight is ({VIT_WIDTH}, 4)" in message


def test_unexpected_tensors_are_listed(
    tmp_path: Path, published: Get, capsys: pytest.CaptureFixture[str]
) -> None:
    files = published("minigpt4-vicuna")
    eva = files.eva | {"blocks.0.attn.surprise": torch.ones(2)}
    torch.save(eva, tmp_path / "eva.pth")
    arguments = _with(files.arguments, vit=tmp_path / "eva.pth")
    assert "blocks.0.attn.surprise" in _warned(capsys, tmp_path / "model", arguments)


def test_another_kind_of_vit_is_refused(tmp_path: Path, published: Get) -> None:
    files = published("minigpt4-llama2")
    torch.save(files.eva | {"blocks.0.gamma_1": torch.ones(VIT_WIDTH)}, tmp_path / "eva.pth")
    message = _refused(tmp_path / "model", _with(files.arguments, vit=tmp_path / "eva.pth"))
    assert "layer scale" in message


def test_a_language_model_that_was_trained_too_is_refused(tmp_path: Path, published: Get) -> None:
    files = published("minigpt4-vicuna")
    tensors = files.trained | {"llama_model.lm_head.weight": torch.ones(2, 2)}
    projection = _saved(tmp_path / "full.pth", tensors)
    message = _refused(tmp_path / "model", _with(files.arguments, projection=projection))
    assert "llama_model.lm_head.weight" in message


def test_incomplete_language_models(tmp_path: Path, published: Get) -> None:
    folder, arguments = tmp_path / "llm", published("minigpt4-vicuna").arguments
    tensors = write_llama(folder)
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    message = _refused(tmp_path / "model", _with(arguments, llm=folder))
    assert "pytorch_model-00002-of-00002.bin missing" in message

    del tensors["model.layers.1.mlp.up_proj.weight"]
    write_shards(folder, tensors | {"model.surprise": torch.ones(1)}, binary=True)
    message = _refused(tmp_path / "model", _with(arguments, llm=folder))
    assert "missing: model.layers.1.mlp.up_proj.weight" in message
    assert "unexpected: model.surprise" in message

    (folder / "config.json").rename(folder / "params.json")
    message = _refused(tmp_path / "model", _with(arguments, llm=folder))
    assert "Meta's own format" in message


def test_a_language_model_without_a_tokenizer(
    tmp_path: Path, published: Get, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, files = tmp_path / "llm", published("minigpt4-vicuna")
    write_llama(folder)
    (folder / "tokenizer.model").unlink()
    arguments = _with(files.arguments, llm=folder)
    assert "Copy Llama's tokenizer.model" in _refused(tmp_path / "model", arguments)
    borrowed = [*arguments, "--tokenizer", str(files.language_model)]
    assert _warned(capsys, tmp_path / "model", borrowed) == ""


def test_a_vocabulary_that_is_too_small(tmp_path: Path, published: Get) -> None:
    folder = tmp_path / "llm"
    tensors = write_llama(folder)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors[name][:600].clone()
    write_shards(folder, tensors, binary=True)
    config = llama_config(llama2=False)
    config.vocab_size = 600
    config.save_pretrained(folder)
    arguments = _with(published("minigpt4-vicuna").arguments, llm=folder)
    assert "only 600 embeddings" in _refused(tmp_path / "model", arguments)


def test_heads_that_cannot_be_derived_must_be_given(tmp_path: Path, published: Get) -> None:
    files = published("minigpt4-llama2")
    odd = {
        name: tensor[..., :100] if tensor.shape[-1:] == (VIT_WIDTH,) else tensor
        for name, tensor in files.eva.items()
    }
    odd["patch_embed.proj.weight"] = torch.ones(100, 3, 14, 14)
    torch.save(odd, tmp_path / "eva.pth")
    message = _refused(tmp_path / "model", _with(files.arguments, vit=tmp_path / "eva.pth"))
    assert "--vit-heads" in message


def test_a_folder_in_use_is_left_alone(tmp_path: Path, published: Get) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "mine").write_text("keep")
    with pytest.raises(SystemExit, match="not an empty folder"):
        main(["import", str(target), *published("minigpt4-vicuna").arguments])
    assert [path.name for path in target.iterdir()] == ["mine"]


class _Malice:
    """Creates a file when it is unpickled in the ordinary way."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.system, (f"touch '{self.mark}'",)


@pytest.mark.parametrize("which", ["vit", "qformer", "projection", "llm"])
def test_a_malicious_file_runs_nothing_wherever_it_is_given(
    which: str, tmp_path: Path, published: Get
) -> None:
    files, mark = published("minigpt4-vicuna"), tmp_path / "it-ran"
    evil = tmp_path / "evil.pth"
    torch.save({"model": files.trained, "config": _Malice(mark)}, evil)
    if which == "llm":
        folder = shutil.copytree(files.language_model, tmp_path / "llm")
        evil = evil.rename(folder / "pytorch_model-00001-of-00002.bin").parent
    message = _refused(tmp_path / "model", _with(files.arguments, **{which: evil}))
    assert "could run code" in message
    assert not mark.exists()


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_are_refused_in_our_own_words(
    seed: int, tmp_path: Path, published: Get
) -> None:
    """Whatever is lost, renamed, renumbered or reshaped: a message, never a traceback."""
    generator = random.Random(seed)
    files = published("minigpt4-vicuna")
    damaged = {
        "vit": dict(files.eva),
        "qformer": dict(files.blip2),
        "projection": dict(files.trained),
    }
    which = generator.choice([*damaged])
    tensors = damaged[which]
    read = sorted(
        name
        for name in tensors
        if not re.search(
            r"blocks\.3|head|^norm|inv_freq|position|word|cls\.|t5|\d\.(inter|out)", name
        )
    )
    name = generator.choice(read)
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
    arguments = _with(files.arguments, **{which: tmp_path / "damaged.pth"})
    assert _refused(tmp_path / "model", arguments)
