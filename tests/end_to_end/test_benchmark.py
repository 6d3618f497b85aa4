"""A public benchmark through the real service: image, prompt, answer, score."""

import json
from pathlib import Path

from service.evaluation.benchmarks.pope import says_yes
from tests.evaluation.benchmarks.asked import evaluate, make, values
from tests.server import ServerProcess


def test_pope_through_the_real_service(server: ServerProcess, tmp_path: Path) -> None:
    data, out = make("pope", tmp_path / "data"), tmp_path / "out"
    results = evaluate(server.url, "pope", data.folder, out, "--max-tokens", "8")
    assert results["items"] == 9
    assert not results["bad"]
    answers = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()[1:]]
    assert all(0 < answer["tokens"] <= 8 for answer in answers)
    yes = sum(says_yes(one["text"]) for one in answers if one["id"].startswith("random/"))
    assert values(results)["random: yes ratio"] == 100 * yes / 3
