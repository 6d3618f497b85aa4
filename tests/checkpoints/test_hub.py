"""Sources given by hub id: the real client downloads from a fake hub on this machine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from service.checkpoints import hub
from service.cli import main
from service.model_folder.layout import ModelFolder
from tests.checkpoints.fake_hub import COMMIT, FakeHub, serve_hub
from tests.published.blip2_folder import write_blip2_folder
from tests.published.files import PublishedFiles
from tests.published.llama_folder import write_llama

BLIP2, OLD, NEW, DELTA = "Lab/blip2", "Lab/vicuna-7b", "Lab/llama", "Lab/vicuna-7b-delta-v0"


@pytest.fixture(scope="module")
def files(published: Callable[[str], PublishedFiles]) -> PublishedFiles:
    return published("minigpt4-vicuna")


@pytest.fixture(scope="module")
def fake_hub(files: PublishedFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    """Serve repositories like the hub's: with an unneeded shard, and with both formats."""
    root = tmp_path_factory.mktemp("hub")
    write_blip2_folder(root / "blip2", files.eva, files.blip2)
    index = root / "blip2" / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["language_model.block.weight"] = "model-00003-of-00003.safetensors"
    index.write_text(json.dumps(content))
    (root / "blip2" / "model-00003-of-00003.safetensors").write_bytes(b"not to be downloaded")
    write_llama(root / "both", binary=True)
    write_llama(root / "both", binary=False)
    shutil.copytree(files.language_model, root / "delta")
    folders = {BLIP2: root / "blip2", OLD: files.language_model, NEW: root / "both"}
    with serve_hub(FakeHub({**folders, DELTA: root / "delta"})) as served:
        yield served


def _import(
    fake_hub: FakeHub, cache: Path, target: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Import in another process, because the client reads the hub's address when it is imported."""
    fake_hub.downloaded.clear()
    environment = {**os.environ, "HF_ENDPOINT": fake_hub.url, "HF_HOME": str(cache)}
    command = [sys.executable, "-m", "service", "import", str(target), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_only_the_needed_files_are_downloaded(
    fake_hub: FakeHub, files: PublishedFiles, imported: Callable[[str], Path], tmp_path: Path
) -> None:
    """From BLIP-2 the shards with ViT and Q-Former; from a referenced language model no weights."""
    arguments = ["--family", "minigpt4-vicuna", "--qformer", BLIP2]
    arguments += ["--projection", str(files.projection), "--llm", NEW]
    done = _import(fake_hub, tmp_path / "cache", tmp_path / "model", *arguments)
    assert done.returncode == 0, done.stderr
    assert "%" in done.stderr, "a progress bar"
    assert fake_hub.list_downloads(BLIP2) == {
        "config.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }
    assert fake_hub.list_downloads(NEW) == {
        "config.json",
        "generation_config.json",
        "tokenizer.model",
    }
    folder = ModelFolder.open(tmp_path / "model")
    assert folder.index.language_model == NEW
    assert folder.index.provenance is not None
    source = folder.index.provenance.sources["language_model"]
    assert source == {"hub_id": NEW, "revision": COMMIT}
    weights = load_file(folder.vision / "model.safetensors")
    expected = load_file(imported("minigpt4-vicuna") / "vision" / "model.safetensors")
    assert weights.keys() == expected.keys()
    assert all(weights[name].equal(tensor) for name, tensor in expected.items())


def test_a_repository_of_pickles_is_converted(
    fake_hub: FakeHub, files: PublishedFiles, tmp_path: Path
) -> None:
    """Vicuna v0 is published as .bin files only, which the service does not load."""
    done = _import(
        fake_hub, tmp_path / "cache", tmp_path / "model", *files.arguments[:-1], OLD, "--dry-run"
    )
    assert "converted to safetensors" in done.stdout
    assert not (tmp_path / "model").exists()
    done = _import(fake_hub, tmp_path / "cache", tmp_path / "model", *files.arguments[:-1], OLD)
    assert done.returncode == 0, done.stderr
    assert not fake_hub.downloaded, "all files were in the cache"
    converted = ModelFolder.open(tmp_path / "model").language_model
    new = LlamaForCausalLM.from_pretrained(converted).state_dict()
    old = LlamaForCausalLM.from_pretrained(files.language_model).state_dict()
    assert all(new[name].equal(tensor) for name, tensor in old.items())


def test_of_two_formats_only_safetensors_are_downloaded(
    fake_hub: FakeHub, files: PublishedFiles, tmp_path: Path
) -> None:
    target = tmp_path / "model"
    arguments = [*files.arguments[:-1], NEW, "--llm-files", "copy"]
    done = _import(fake_hub, tmp_path / "cache", target, *arguments)
    assert done.returncode == 0, done.stderr
    assert not [file for file in fake_hub.list_downloads(NEW) if file.endswith(".bin")]
    LlamaForCausalLM.from_pretrained(target / "language_model")


def test_delta_weights_are_refused_before_they_are_downloaded(
    fake_hub: FakeHub, files: PublishedFiles, tmp_path: Path
) -> None:
    arguments = [*files.arguments[:-1], DELTA, "--llm-files", "copy"]
    done = _import(fake_hub, tmp_path / "cache", tmp_path / "model", *arguments)
    assert done.returncode != 0
    assert "delta weights (by its name)" in done.stderr
    assert not [file for file in fake_hub.list_downloads(DELTA) if file.endswith(".bin")]


def test_a_missing_repository_is_named(
    fake_hub: FakeHub, files: PublishedFiles, tmp_path: Path
) -> None:
    arguments = [*files.arguments[:-1], "Lab/nothing"]
    done = _import(fake_hub, tmp_path / "cache", tmp_path / "model", *arguments)
    assert done.returncode != 0
    assert "Lab/nothing is not a path on this disk, and as a hub id" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_download_without_a_network_is_explained(
    tmp_path: Path, files: PublishedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    arguments = [*files.arguments[:-1], "lmsys/vicuna-7b"]
    with pytest.raises(SystemExit, match="not a path on this disk, and as a hub id"):
        main(["import", str(tmp_path / "model"), *arguments])
