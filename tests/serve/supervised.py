"""A supervisor whose processes are those of :mod:`tests.serve.fake_roles`: ``python -m tests.serve.supervised DIR``."""

import sys
from argparse import Namespace
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.serve import fake_roles


class Engine:
    """An engine manager with one process that sleeps."""

    def __init__(self, folder: Path) -> None:
        process = get_context("spawn").Process(target=fake_roles.run_engine, args=(folder,))
        process.start()
        self.processes = [process]

    def sentinels(self) -> list[int]:
        return [process.sentinel for process in self.processes]

    def shutdown(self, timeout: float) -> None:
        for process in self.processes:
            process.kill()
            process.join()


class Listeners:
    """As vLLM's, whose end removes the sockets."""

    def __init__(self, folder: Path, processes: int) -> None:
        self.inputs = self.outputs = [SimpleNamespace(close=lambda: None)] * processes
        self._file = folder / "removed"

    def cleanup(self) -> None:
        self._file.touch()

    def __del__(self) -> None:
        self.cleanup()


def main(folder: Path) -> None:
    """Run one supervisor, and exit with its status."""

    def plan(_: Namespace, processes: int) -> Any:
        if folder.name == "bad-plan":
            raise OSError("the path is too long")
        return SimpleNamespace(listeners=Listeners(folder, processes))

    def launch(_: Any, started: Any) -> None:
        if folder.name == "bad-engine":
            raise RuntimeError("there is no memory")
        started(Engine(folder))

    # Instead of the module that imports vLLM, which takes seconds.
    fake: Any = ModuleType("service.engine.launch")
    fake.EnginePlan, fake.plan_engine, fake.launch_engine = object, plan, launch
    fake.list_client_addresses = lambda *_: [{}, {}]
    sys.modules[fake.__name__] = fake
    sys.modules["service.serve.roles"] = fake_roles

    from service.serve import supervisor
    from service.serve.listener import bind, share
    from service.settings import load_settings

    listeners = share(bind("127.0.0.1", 0), 2)
    arguments = Namespace(
        shutdown_timeout=5, ssl_certfile=None, host="127.0.0.1", port=listeners[0].getsockname()[1]
    )
    model: Any = SimpleNamespace(root=folder, index=SimpleNamespace(family="fake"))
    sys.exit(supervisor.Supervisor(model, load_settings(), arguments, listeners).run())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
