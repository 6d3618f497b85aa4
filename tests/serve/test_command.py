"""What is wrong on the command line is told before anything is loaded."""

import socket
import subprocess
import sys

import pytest

SLOW = ("torch", "vllm", "transformers")


def serve(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run ``serve``; standard output ends with the modules that it has imported."""
    program = (
        "import sys\n"
        "from service.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    print([name for name in {SLOW} if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", program, "serve", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def assert_early(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode != 0
    assert result.stdout.strip().endswith("[]"), "a slow library was imported"
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert all(word in last for word in words), last


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--port", "abc"], ["--port", "'abc' is not a port"]),
        (["--port", "99999"], ["--port", "'99999' is not a port"]),
        (["--max-model-len", "5", "--enforce-eagr"], ["--enforce-eagr", "--enforce-eager"]),
        (["--encoder-queue", "many"], ["encoder_queue"]),
        (["--host", "no.such.host.invalid", "--port", "0"], ["Cannot listen on no.such.host"]),
        (["--port", "0", "--model", "defalt"], ["'defalt'", "'default'?", "demo, tiny"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_mistakes_are_one_line_at_once(flags: list[str], words: list[str]) -> None:
    assert_early(serve(*flags), *words)


def test_a_port_in_use_is_reported_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_early(serve("--port", port), port, "in use")


def test_the_help_loads_nothing() -> None:
    result = serve("--help")
    assert result.returncode == 0
    assert result.stdout.strip().endswith("[]")
