"""An API process's side of the encoder's process: decodes its own images, and asks for their embeddings.

The socket belongs to the event loop. It is read when ZeroMQ's file descriptor says so, without a thread or a task for
each message, so that an image costs the loop some tens of microseconds.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

import zmq
from torch import Tensor

from service.errors import EncoderNotReadyError
from service.model_folder.vision_config import VisionConfig
from service.vision import metrics
from service.vision.encoded_image import EncodedImage
from service.vision.interface import LoadPixels
from service.vision.remote import messages
from service.vision.remote.messages import Status

PING_SECONDS = 1.0
"""Pause between two questions after the encoder's state."""

MESSAGES_AT_ONCE = 16
"""After so many messages the event loop looks after its other work."""


@dataclass
class _Question:
    """An image that is asked for."""

    digest: str
    load_pixels: LoadPixels
    waiter: "asyncio.Future[EncodedImage]"
    decoding: ThreadPoolExecutor


class RemoteRuntime:
    """Encodes in another process; the interface is :class:`service.vision.interface.Runtime`.

    Args:
        address: Where the encoder's process listens.
        identity: Distinguishes the clients of one encoder.
        decode_threads: Images that are decoded at once.
    """

    def __init__(
        self, address: str, identity: bytes, config: VisionConfig, decode_threads: int
    ) -> None:
        self.config = config
        self._address = address
        self._identity = identity
        self._decode_threads = decode_threads
        self._decoding: ThreadPoolExecutor | None = None
        self._background_decoding: ThreadPoolExecutor | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._questions: dict[int, _Question] = {}
        self._number = 0
        self._will_receive = False
        self._status = Status()
        self._answered = asyncio.Event()
        self._pinged_at: float | None = None
        self._pinging: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether images can be encoded now."""
        return self._socket is not None and not self.failed

    @property
    def failed(self) -> bool:
        """Whether the encoder no longer works. Only a new process helps."""
        return self._status.failed

    @property
    def silence(self) -> float:
        """Seconds since the encoder last made progress or last answered a ping."""
        unanswered = 0.0 if self._pinged_at is None else monotonic() - self._pinged_at
        # Less than a ping's pause is the time until the next ping, not silence.
        return max(self._status.silence, unanswered)

    @property
    def seconds_to_empty(self) -> float:
        """Estimated seconds to encode all queued images, as the encoder last said."""
        return self._status.seconds_to_empty

    @property
    def pending(self) -> int:
        """Questions without an answer."""
        return len(self._questions)

    async def connect(self) -> None:
        """Connect to the encoder's process. Call it on the event loop that serves requests."""
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IDENTITY, self._identity)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.connect(self._address)
        self._socket = socket
        self._decoding = ThreadPoolExecutor(self._decode_threads, "image-decoding")
        self._background_decoding = ThreadPoolExecutor(1, "background-decoding")
        self._loop.add_reader(int(socket.getsockopt(zmq.FD)), self._receive)
        self._pinging = self._loop.create_task(self._ping())

    async def wait_until_loaded(self) -> None:
        """Wait for the encoder's first answer: it answers nothing before it can encode."""
        await self._answered.wait()

    def shutdown(self) -> None:
        """Refuse new images and end. Idempotent."""
        if self._loop is None or self._loop.is_closed():
            return
        if threading.get_ident() == self._loop_thread:
            self._close()
        else:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._close)

    async def encode(
        self, digest: str, load_pixels: LoadPixels, *, background: bool = False
    ) -> EncodedImage:
        """Encode one image, once for all API processes; see the interface."""
        kind = messages.ASK_LATER if background else messages.ASK
        return await self._ask(kind, digest, load_pixels)

    async def find_cached(self, digest: str) -> EncodedImage | None:
        """The cached embeddings of an image; None where they would have to be computed."""
        with suppress(EncoderNotReadyError):
            return await self._ask(messages.FIND, digest, _never_decode)
        return None

    def submit(
        self, digest: str, load_pixels: LoadPixels, *, background: bool = False
    ) -> "Future[EncodedImage]":
        """Do the same as :meth:`encode` from any thread; cancel the future to stop waiting."""
        if not self.ready or self._loop is None:
            raise EncoderNotReadyError("The vision encoder is not ready.")
        return asyncio.run_coroutine_threadsafe(
            self.encode(digest, load_pixels, background=background), self._loop
        )

    async def on_decoding_thread(self, work: Callable[[], object]) -> None:
        """Run ``work``, which decodes an image without encoding it, on a decoding thread."""
        if self._decoding is None:
            raise EncoderNotReadyError("The vision encoder is not ready.")
        await asyncio.wrap_future(self._decoding.submit(work))

    # Everything below runs on the event loop, except _decode.

    async def _ask(self, kind: int, digest: str, load_pixels: LoadPixels) -> EncodedImage:
        if not self.ready or self._loop is None:
            raise EncoderNotReadyError("The vision encoder is not ready.")
        self._number += 1
        number = self._number
        pools = self._decoding, self._background_decoding
        decoding = pools[kind == messages.ASK_LATER]
        assert decoding is not None
        question = _Question(digest, load_pixels, self._loop.create_future(), decoding)
        self._questions[number] = question
        self._send(kind, number, digest.encode())
        try:
            return await question.waiter
        except asyncio.CancelledError:
            if self._questions.pop(number, None) is not None and self._socket is not None:
                self._send(messages.CANCEL, number)
            raise

    def _send(
        self, kind: int, number: int, text: bytes = b"", data: memoryview | None = None
    ) -> None:
        assert self._socket is not None
        head = messages.pack_head(kind, number, text)
        self._socket.send(head, 0 if data is None else zmq.SNDMORE)
        if data is not None:
            self._socket.send(data, copy=False)
        # Sending may consume the wake-up for a message that has arrived: ZeroMQ signals edges only.
        self._receive_soon()

    def _receive_soon(self) -> None:
        assert self._loop is not None
        if not self._will_receive:
            self._will_receive = True
            self._loop.call_soon(self._receive)

    def _receive(self) -> None:
        self._will_receive = False
        for _ in range(MESSAGES_AT_ONCE):
            if self._socket is None:
                return
            try:
                head, *data = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self._handle(*messages.unpack_head(head.bytes), data)
        self._receive_soon()

    def _handle(self, kind: int, number: int, text: bytes, data: list[zmq.Frame]) -> None:
        if kind == messages.STATUS:
            self._status, self._pinged_at = Status.unpack(text), None
            self._answered.set()
        elif kind == messages.DECODE:
            self._start_decoding(number)
        elif (question := self._questions.pop(number, None)) is None:
            pass  # cancelled
        elif kind == messages.ABSENT:
            _fail(question, EncoderNotReadyError("The image is not cached."))
        elif kind == messages.ERROR:
            _fail(question, messages.unpack_error(text))
        else:
            shape = self.config.visual_tokens, self.config.hidden_size
            dtype, seconds = text.split()
            embeddings = messages.unpack_tensor(data[0].buffer, messages.DTYPES[dtype], shape)
            if not question.waiter.done():
                question.waiter.set_result(
                    EncodedImage(question.digest, embeddings, float(seconds))
                )

    def _start_decoding(self, number: int) -> None:
        question = self._questions.get(number)
        if question is not None:
            question.decoding.submit(self._decode, number, question)

    def _decode(self, number: int, question: _Question) -> None:
        """Decode an image and hand over its pixels. Runs on a decoding thread."""
        if question.waiter.cancelled():
            return
        assert self._loop is not None
        try:
            with metrics.PREPARE_SECONDS.time():
                pixels = question.load_pixels()
        except Exception as error:
            self._loop.call_soon_threadsafe(self._send_failure, number, error)
        else:
            self._loop.call_soon_threadsafe(self._send_pixels, number, pixels)

    def _send_pixels(self, number: int, pixels: Tensor) -> None:
        if self._socket is not None:
            self._send(messages.PIXELS, number, data=messages.pack_tensor(pixels))

    def _send_failure(self, number: int, error: Exception) -> None:
        if self._socket is None:
            return
        # The caller in this process gets the error itself, with its traceback; other callers get its
        # class and message.
        self._send(messages.DECODING_FAILED, number, messages.pack_error(error))
        if (question := self._questions.pop(number, None)) is not None:
            _fail(question, error)

    async def _ping(self) -> None:
        while True:
            if self._pinged_at is None:
                self._pinged_at = monotonic()
                self._send(messages.PING, 0)
            await asyncio.sleep(PING_SECONDS)

    def _close(self) -> None:
        if self._socket is None or self._loop is None:
            return
        self._loop.remove_reader(int(self._socket.getsockopt(zmq.FD)))
        self._socket.close()
        self._socket = None
        if self._pinging is not None:
            self._pinging.cancel()
        for pool in (self._decoding, self._background_decoding):
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)
        self._decoding = self._background_decoding = None
        for question in list(self._questions.values()):
            _fail(question, EncoderNotReadyError("The service is shutting down."))
        self._questions.clear()


def _never_decode() -> Tensor:
    raise AssertionError("a question about the cache was answered with DECODE: this is a bug")


def _fail(question: _Question, error: Exception) -> None:
    if not question.waiter.done():
        question.waiter.set_exception(error)
