"""What vLLM's own serving benchmark is given."""

import json
from pathlib import Path

import pytest

from loadtests.token_level import flags, options, write_data_set
from service.serve.builtin_models import resolve_model


@pytest.mark.parametrize(("images", "different"), [("unique", 20), ("seen", 8)])
def test_pictures_are_unique_or_come_again(tmp_path: Path, images: str, different: int) -> None:
    lines = write_data_set(tmp_path, images, 20, seed=1).read_text().splitlines()
    files = [Path(json.loads(line)["image_files"][0]) for line in lines]
    assert len(files) == 20
    assert len({file.read_bytes() for file in files}) == different


def test_vllms_benchmark_takes_the_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.benchmarks.serve import add_cli_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    monkeypatch.setattr("sys.argv", ["token_level", "--rate", "8", "--concurrency", "4"])
    asked = options()
    folder = resolve_model(asked.model, tmp_path)
    parser = FlexibleArgumentParser()
    add_cli_args(parser)
    taken = parser.parse_args(flags(asked, folder, "demo", tmp_path / "requests.jsonl"))
    assert taken.dataset_name == "custom_image"
    assert (taken.request_rate, taken.max_concurrency) == (8.0, 4)
    assert taken.goodput == ["ttft:200", "tpot:50"]
