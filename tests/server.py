"""A real service in a process of its own, as the tests run it."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI

from loadtests.server_process import free_port

STARTUP_SECONDS = 240


@dataclass
class ServerProcess:
    """``python -m service serve`` on a free port; ``url`` is its address.

    Attributes:
        model: The model folder it serves.
        log: What it has printed so far.
    """

    model: Path
    flags: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None
        self._changed = threading.Condition()
        self._clients: list[OpenAI] = []

    def command(self) -> list[str]:
        """What Python runs."""
        return ["-m", "service", "serve", "--model", str(self.model)]

    def spawn(self) -> None:
        """Start the process without waiting for it."""
        self.process = subprocess.Popen(
            [sys.executable, *self.command(), "--port", str(self.port), *self.flags],
            env={**os.environ, **self.environment},
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self) -> "ServerProcess":
        """Start and wait until it says that it is ready."""
        self.spawn()
        self.wait_for("Ready: ", STARTUP_SECONDS)
        return self

    def wait_for(self, text: str, seconds: float) -> None:
        """Wait until ``text`` is printed; fails with the whole log when it is not."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: any(text in line for line in self.log) or self._ended(), seconds
            )
            printed = any(text in line for line in self.log)
        assert found, f"waited {seconds} s for {text!r}:\n" + "".join(self.log)
        assert printed, f"{text!r} was not printed:\n" + "".join(self.log)

    @property
    def pid(self) -> int:
        """The service's main process."""
        assert self.process is not None
        return self.process.pid

    def signal(self, number: int) -> None:
        """Send a signal to the service's main process."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 60) -> int:
        """Wait for the process to end; returns its exit status."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> None:
        """End it, whatever its state; engine processes included. Closes its clients."""
        while self._clients:
            self._clients.pop().close()
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()

    def openai(self, **options: Any) -> OpenAI:
        """An OpenAI client that does not hide errors by retrying; :meth:`stop` closes it."""
        defaults: dict[str, Any] = {"api_key": "unused", "max_retries": 0, "timeout": 120}
        client = OpenAI(base_url=f"{self.url}/v1", **{**defaults, **options})
        self._clients.append(client)
        return client

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a Prometheus series over the samples that carry ``labels``."""
        total = 0.0
        for line in httpx.get(f"{self.url}/metrics").text.splitlines():
            sample, _, value = line.rpartition(" ")
            series, _, pairs = sample.partition("{")
            if series == name and all(
                f'{key}="{value_}"' in pairs for key, value_ in labels.items()
            ):
                total += float(value)
        return total

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                with self._changed:
                    self.log.append(line)
                    self._changed.notify_all()
        self.process.wait()
        with self._changed:
            self._changed.notify_all()
