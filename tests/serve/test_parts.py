"""What an API process of a supervised service loads."""

import asyncio
import os
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.serve.links import Links
from service.serve.parts import LinkedParts
from service.settings import load_settings
from service.shared_count import LocalCount
from service.vision import shared
from service.vision.limits import EncodingLimits
from service.vision.remote.server import EncoderServer
from tests.vision.fake_encoder import CONFIG, FakeEncoder, make_pixels


async def test_an_api_process_is_loaded_no_sooner_than_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = SimpleNamespace(shutdown=lambda timeout: None)
    monkeypatch.setattr(shared, "_process", shared._Process())
    monkeypatch.setattr("service.serve.parts.connect_engine", lambda *_: engine)
    monkeypatch.setattr("service.serve.parts.load_vision_config", lambda _: CONFIG)
    folder: Any = SimpleNamespace(family=SimpleNamespace(stop=()), vision=None)
    address, count = f"ipc://{tmp_path}/encoder", LocalCount()
    links = Links(0, 1, address, {}, count, count, count, tmp_path / "usage")
    control: Any = None
    arguments: Any = None
    parts = LinkedParts(folder, load_settings(), arguments, links)
    async with AsyncExitStack() as stack:
        loading = asyncio.ensure_future(parts.load(stack, control))
        done, _ = await asyncio.wait({loading}, timeout=0.5)
        assert not done, "requests with images would wait for an encoder that may yet fail"
        server = EncoderServer(FakeEncoder(), EncodingLimits(), address)
        server.startup()
        reading, control_end = os.pipe()
        thread = threading.Thread(target=server.run, args=(reading,))
        thread.start()
        _, runtime = await asyncio.wait_for(loading, 10)
        assert (await runtime.encode("7", make_pixels(7))).embeddings[0, 0] == 7
    os.close(control_end)
    await asyncio.to_thread(thread.join, 10)
    os.close(reading)
