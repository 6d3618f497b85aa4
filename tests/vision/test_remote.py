"""The encoder in a process of its own, seen from API processes: here a thread, and two event loops' clients."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import torch
from torch import Tensor

from service.errors import (
    EncoderNotReadyError,
    EncoderOverloadedError,
    EncodingError,
    ImageFormatError,
)
from service.vision.encoded_image import EncodedImage
from service.vision.limits import EncodingLimits
from service.vision.remote import messages
from service.vision.remote.client import RemoteRuntime
from service.vision.remote.server import EncoderServer
from tests.vision.fake_encoder import CONFIG, NAN, POISON, FakeEncoder, fail_to_decode, make_pixels


class Running:
    """A server on a thread of its own, and the clients of one event loop."""

    def __init__(self, encoder: FakeEncoder, address: str, **limits: Any) -> None:
        self.address = address
        self.encoder = encoder
        self.server = EncoderServer(encoder, EncodingLimits(**limits), address)
        self.server.startup()
        self._stop_reading, self._stop = os.pipe()
        self._thread = threading.Thread(target=self.server.run, args=(self._stop_reading,))
        self._thread.start()
        self.clients: list[RemoteRuntime] = []

    async def connect(self) -> RemoteRuntime:
        client = RemoteRuntime(self.address, f"api-{len(self.clients)}".encode(), CONFIG, 2)
        await client.connect()
        self.clients.append(client)
        return client

    async def wait_until_busy(self) -> None:
        assert await asyncio.to_thread(self.encoder.busy.wait, 10)

    def stop(self) -> None:
        self.encoder.go.set()
        os.close(self._stop)
        self._thread.join(10)
        assert not self._thread.is_alive()
        os.close(self._stop_reading)


@pytest.fixture
def start(encoder: FakeEncoder, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def make(**limits: Any) -> Running:
        running.append(Running(encoder, f"ipc://{tmp_path}/encoder", **limits))
        return running[-1]

    yield make
    for one in running:
        one.stop()


async def hold_busy(running: Running, client: RemoteRuntime) -> "asyncio.Future[EncodedImage]":
    running.encoder.go.clear()
    running.encoder.busy.clear()
    first = asyncio.wrap_future(client.submit("9", make_pixels(9)))
    await running.wait_until_busy()
    return first


async def settle(running: Running, condition: Callable[[], bool]) -> None:
    deadline = monotonic() + 10
    while not condition():
        assert monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_embeddings_come_back_as_they_were_computed(
    start: Callable[..., Running], encoder: FakeEncoder
) -> None:
    running = start()
    client = await running.connect()
    image = await client.encode("7", make_pixels(7), background=True)
    assert image.digest == "7"
    assert image.embeddings.dtype == torch.float32
    assert torch.equal(image.embeddings, torch.full((2, 3), 7.0))
    assert torch.equal((await client.encode("7", fail_to_decode)).embeddings, image.embeddings)
    assert encoder.batches == [[7]], "the second one is from the cache"
    found = await client.find_cached("7")
    assert found is not None
    assert torch.equal(found.embeddings, image.embeddings)
    assert await client.find_cached("8") is None
    client.shutdown()


async def test_two_processes_share_one_encoding_and_one_decoding(
    start: Callable[..., Running], encoder: FakeEncoder
) -> None:
    running = start()
    one, other = await running.connect(), await running.connect()
    held = await hold_busy(running, one)
    first = asyncio.wrap_future(one.submit("1", make_pixels(1)))
    await settle(running, lambda: running.server.pending == 2)
    second = asyncio.wrap_future(other.submit("1", fail_to_decode))
    await settle(running, lambda: running.server.pending == 3)
    encoder.go.set()
    assert (await first).embeddings[0, 0] == (await second).embeddings[0, 0] == 1
    await held
    assert encoder.batches == [[9], [1]]
    assert (one.pending, other.pending, running.server.pending) == (0, 0, 0)
    one.shutdown()
    other.shutdown()


async def test_another_process_decodes_when_the_first_gives_up(
    start: Callable[..., Running], encoder: FakeEncoder
) -> None:
    running = start()
    one, other = await running.connect(), await running.connect()
    decoding, go_on = threading.Event(), threading.Event()

    def decode_slowly() -> Tensor:
        decoding.set()
        assert go_on.wait(10)
        return make_pixels(4)()

    first = asyncio.ensure_future(one.encode("4", decode_slowly))
    assert await asyncio.to_thread(decoding.wait, 10)
    second = asyncio.ensure_future(other.encode("4", make_pixels(4)))
    await settle(running, lambda: running.server.pending == 2)
    first.cancel()
    assert (await second).embeddings[0, 0] == 4
    go_on.set()
    await settle(running, lambda: running.server.pending + one.pending == 0)
    assert encoder.batches == [[4]]
    one.shutdown()
    other.shutdown()


async def test_what_nobody_waits_for_is_dropped(
    start: Callable[..., Running], encoder: FakeEncoder
) -> None:
    running = start(max_queue=1)
    client = await running.connect()
    held = await hold_busy(running, client)
    abandoned = asyncio.ensure_future(client.encode("1", make_pixels(1)))
    await settle(running, lambda: running.server._queue._queued == 1)
    with pytest.raises(EncoderOverloadedError):
        await client.encode("2", make_pixels(2))
    abandoned.cancel()
    await settle(running, lambda: running.server.pending == 1)
    encoder.go.set()
    await held
    await settle(running, lambda: running.server._queue._queued == 0)
    assert (await client.encode("2", make_pixels(2))).embeddings[0, 0] == 2
    assert encoder.batches == [[9], [2]]
    assert (client.pending, running.server.pending) == (0, 0)
    assert not running.server._digests
    assert not running.server._undecoded
    client.shutdown()


async def test_errors_keep_their_class_and_their_message(start: Callable[..., Running]) -> None:
    running = start()
    client = await running.connect()
    with pytest.raises(ImageFormatError, match="broken"):
        await client.encode("1", fail_to_decode)
    with pytest.raises(EncodingError, match="failed on this image"):
        await client.encode("2", make_pixels(POISON))
    with pytest.raises(EncodingError, match="not finite"):
        await client.encode("3", make_pixels(NAN))
    assert (client.pending, running.server.pending) == (0, 0)
    client.shutdown()
    with pytest.raises(EncoderNotReadyError):
        client.submit("4", make_pixels(4))


async def test_a_decoding_error_reaches_all_who_wait(start: Callable[..., Running]) -> None:
    running = start()
    one, other = await running.connect(), await running.connect()
    go_on = threading.Event()

    def fail_late() -> Tensor:
        assert go_on.wait(10)
        return fail_to_decode()

    answers = [asyncio.ensure_future(client.encode("1", fail_late)) for client in (one, other)]
    await settle(running, lambda: running.server.pending == 2)
    go_on.set()
    results = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(result) for result in results] == [ImageFormatError] * 2
    one.shutdown()
    other.shutdown()


async def test_images_may_be_submitted_from_any_thread(start: Callable[..., Running]) -> None:
    running = start()
    client = await running.connect()
    futures: list[Future[EncodedImage]] = await asyncio.to_thread(
        lambda: [client.submit(str(n), make_pixels(n)) for n in range(20)]
    )
    images = await asyncio.gather(*map(asyncio.wrap_future, futures))
    assert [int(image.embeddings[0, 0]) for image in images] == list(range(20))
    client.shutdown()


async def test_a_hung_encoder_is_silent(
    start: Callable[..., Running], encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.vision.remote.client.PING_SECONDS", 0.02)
    running = start()
    client = await running.connect()
    await settle(running, lambda: client._pinged_at is None)
    assert client.silence < 0.5
    held = await hold_busy(running, client)
    await settle(running, lambda: client.silence > 0.1)
    encoder.go.set()
    await held
    await settle(running, lambda: client.silence < 0.05)
    client.shutdown()


async def test_a_thousand_cancelled_questions_leave_nothing(start: Callable[..., Running]) -> None:
    running = start(max_queue=2000)
    client = await running.connect()
    tasks = [
        asyncio.ensure_future(client.encode(str(n % 300), make_pixels(n % 200)))
        for n in range(1000)
    ]
    await asyncio.sleep(0.01)
    for number, task in enumerate(tasks):
        if number % 2:
            task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, EncodedImage) for result in results) >= 500
    await settle(running, lambda: running.server.pending + client.pending == 0)
    assert running.server._queue._queued == 0
    assert not running.server._queue._jobs
    assert not running.server._undecoded
    client.shutdown()


def test_messages_survive_the_wire() -> None:
    status = messages.Status(1.5, 0.25, True)
    assert messages.Status.unpack(status.pack()) == status
    tensor = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3)
    data = messages.pack_tensor(tensor)
    assert torch.equal(messages.unpack_tensor(data, torch.bfloat16, (2, 3)), tensor)
    error = messages.unpack_error(messages.pack_error(ImageFormatError("broken")))
    assert isinstance(error, ImageFormatError)
    assert isinstance(messages.unpack_error(messages.pack_error(OSError("secret"))), EncodingError)
