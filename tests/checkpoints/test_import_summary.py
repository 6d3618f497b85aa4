"""The summary that an import prints before it writes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli import main
from tests.published.files import PublishedFiles


@pytest.fixture
def summary(
    tmp_path: Path,
    published: Callable[[str], PublishedFiles],
    capsys: pytest.CaptureFixture[str],
) -> str:
    arguments = published("minigpt4-vicuna").arguments
    main(["import", str(tmp_path / "model"), *arguments, "--dry-run"])
    assert not list(tmp_path.iterdir()), "a dry run writes nothing"
    return capsys.readouterr().out


def test_it_describes_the_model(summary: str) -> None:
    assert "ViT: 3 layers, width 176, 2 heads" in summary
    assert "Q-Former: 3 layers, width 128, 32 query tokens" in summary
    assert "warning" not in summary


def test_it_lists_the_parts_that_the_original_ignores(summary: str) -> None:
    for reason in ("classifier", "text branch", "language-modelling head", "rotary frequencies"):
        assert reason in summary
