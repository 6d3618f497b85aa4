"""Models that ``--model`` knows by name."""

from pathlib import Path

from service.model_folder.layout import INDEX_FILE
from service.model_folder.validation import validate
from service.serve.builtin_models import resolve_model


def test_the_tiny_model_is_written_once(tmp_path: Path) -> None:
    tiny = resolve_model("tiny", tmp_path)
    assert tiny.root == (tmp_path / "tiny").resolve()
    before = (tiny.root / INDEX_FILE).stat().st_mtime_ns
    assert resolve_model("tiny", tmp_path).root == tiny.root
    assert (tiny.root / INDEX_FILE).stat().st_mtime_ns == before


def test_the_default_model_is_valid(tmp_path: Path) -> None:
    validate(resolve_model("default", tmp_path))
