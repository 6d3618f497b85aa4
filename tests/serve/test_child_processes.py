"""The end of the processes that a process has started."""

import multiprocessing
import subprocess
import time
from multiprocessing.connection import Connection
from pathlib import Path

from service.serve.child_processes import kill_child_processes


def start_another(pipe: Connection) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        pipe.send(other.pid)
        time.sleep(600)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_children_and_their_children_end() -> None:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe()
    child = context.Process(target=start_another, args=(sender,))
    child.start()
    grandchild = receiver.recv()
    assert is_running(grandchild)
    kill_child_processes()
    child.join(10)
    assert not child.is_alive()
    deadline = time.monotonic() + 10
    while is_running(grandchild):
        assert time.monotonic() < deadline
        time.sleep(0.01)
