"""Servers are started, waited for and ended."""

from pathlib import Path

import httpx
import psutil
import pytest

from loadtests.server_process import free_port, run_server


def test_a_server_answers_inside_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    words = ["http.server", "--bind", "127.0.0.1", str(port)]
    with run_server(words, url, tmp_path / "log", folder=tmp_path) as pid:
        assert "log" in httpx.get(url).text
    assert not psutil.pid_exists(pid)


def test_a_server_that_exits_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="No module named no_such_module"),
        run_server(["no_such_module"], "http://127.0.0.1:9/", tmp_path / "log"),
    ):
        pytest.fail("it cannot be running")


def test_a_server_that_is_not_ready_in_time_is_killed(tmp_path: Path) -> None:
    words = [
        "timeit",
        "-n",
        "1",
        "-r",
        "1",
        "import time; print('here', flush=True); time.sleep(60)",
    ]
    with (
        pytest.raises(RuntimeError, match=r"not ready after 1 s"),
        run_server(words, "http://127.0.0.1:9/", tmp_path / "log", start_seconds=1),
    ):
        pytest.fail("it is never ready")
    mine = psutil.Process().children(recursive=True)
    assert not any("timeit" in child.cmdline() for child in mine)
