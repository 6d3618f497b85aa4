"""``hey``, a load generator: many requests over few connections, all answered."""

import json
import re
from pathlib import Path

from tests.clients.example import QUESTION, URI
from tests.programs import program, run

REQUESTS = 60
CONCURRENT = 6


def test_load(url: str, tmp_path: Path) -> None:
    content = [
        {"type": "image_url", "image_url": {"url": URI}},
        {"type": "text", "text": QUESTION},
    ]
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"messages": [{"role": "user", "content": content}]}))
    amount = ("-n", str(REQUESTS), "-c", str(CONCURRENT))
    request = ("-m", "POST", "-T", "application/json", "-D", body)
    report = run(program("hey"), *amount, *request, f"{url}/v1/chat/completions")
    assert re.findall(r"\[(\d+)\]\s+(\d+) responses", report) == [("200", str(REQUESTS))]
    assert "Error distribution" not in report
