"""Language models that cannot be opened."""

from collections.abc import Callable
from pathlib import Path

from tests.checkpoints.importing import refuse_import, replace_arguments
from tests.published.files import PublishedFiles
from tests.published.llama_folder import write_llama

Get = Callable[[str], PublishedFiles]


def test_a_missing_shard_is_named(tmp_path: Path, published: Get) -> None:
    write_llama(tmp_path / "llm")
    (tmp_path / "llm" / "pytorch_model-00002-of-00002.bin").unlink()
    arguments = replace_arguments(published("minigpt4-vicuna").arguments, llm=tmp_path / "llm")
    message = refuse_import(tmp_path / "model", arguments)
    assert "pytorch_model-00002-of-00002.bin missing" in message


def test_metas_own_format_is_refused_with_advice(tmp_path: Path, published: Get) -> None:
    write_llama(tmp_path / "llm")
    (tmp_path / "llm" / "config.json").rename(tmp_path / "llm" / "params.json")
    arguments = replace_arguments(published("minigpt4-vicuna").arguments, llm=tmp_path / "llm")
    assert "Meta's own format" in refuse_import(tmp_path / "model", arguments)
