"""The encoder's process: one thread talks to the API processes, another one encodes.

All API processes share one queue, one cache and one set of encodings in progress, so an image that two of them bring
at the same time is encoded once.
"""

import logging
import os
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

import torch
import zmq

from service.errors import EncoderNotReadyError, ServiceError
from service.vision.encoded_image import EncodedImage
from service.vision.encoder import Encoder
from service.vision.encoding_thread import EncodingThread
from service.vision.image_queue import ImageQueue, Job
from service.vision.limits import EncodingLimits
from service.vision.remote import messages

logger = logging.getLogger("service.vision")

Question = tuple[bytes, int]
"""A client's identity and the number of its question."""


@dataclass
class _Undecoded:
    """A job without pixels, and the questions that wait for it; the first of them decodes."""

    job: Job
    questions: list[Question] = field(default_factory=list)


class EncoderServer:
    """Answers on one socket until told to stop. All methods run on the thread that calls :meth:`run`.

    Args:
        address: Where to listen, as ZeroMQ writes it (``ipc:///path``).
    """

    def __init__(self, encoder: Encoder, limits: EncodingLimits, address: str) -> None:
        self._encoder = encoder
        self._queue = ImageQueue(limits)
        self._encoding = EncodingThread(encoder, self._queue)
        self._address = address
        self._waiters: dict[Question, Future[EncodedImage]] = {}
        self._undecoded: dict[str, _Undecoded] = {}
        self._digests: dict[Question, str] = {}
        self._done: deque[tuple[Question, Future[EncodedImage]]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        # No message is dropped for a slow client: the queue's own limit bounds what is in flight.
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)

    def startup(self) -> None:
        """Load and warm up the encoder, then listen; raise the encoder's exception."""
        self._encoding.startup()
        torch.set_num_threads(1)
        self._socket.bind(self._address)

    def run(self, control: int) -> None:
        """Serve until the file descriptor ``control`` is readable or closed."""
        poller = zmq.Poller()
        for source in (self._socket, self._wake, control):
            poller.register(source, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if control in ready:
                break
            if self._wake in ready:
                os.eventfd_read(self._wake)
            self._send_answers()
            if self._socket in ready:
                self._receive()
                self._send_answers()
        self.shutdown()

    def shutdown(self) -> None:
        """Refuse new images and close the socket. The encoding thread ends after its batch."""
        self._queue.close()
        self._socket.close()

    @property
    def pending(self) -> int:
        """Questions without an answer."""
        return len(self._waiters)

    def _receive(self) -> None:
        """Handle all messages that have arrived."""
        while int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            client, head, *data = self._socket.recv_multipart(copy=False)
            kind, number, text = messages.unpack_head(head.bytes)
            self._handle(kind, (client.bytes, number), text, data)

    def _handle(self, kind: int, question: Question, text: bytes, data: list[zmq.Frame]) -> None:
        if kind in (messages.ASK, messages.ASK_LATER):
            self._enter(question, text.decode(), background=kind == messages.ASK_LATER)
        elif kind == messages.PIXELS:
            self._add_pixels(question, data[0].buffer)
        elif kind == messages.DECODING_FAILED:
            error = messages.unpack_error(text)
            if (undecoded := self._take_undecoded(question)) is not None:
                self._queue.fail_decoding(undecoded.job, error)
        elif kind == messages.FIND:
            self._find(question, text.decode())
        elif kind == messages.CANCEL:
            self._cancel(question)
        elif kind == messages.PING:
            self._send(question, messages.STATUS, self._status().pack())

    def _enter(self, question: Question, digest: str, *, background: bool) -> None:
        if self._encoding.failed:
            self._send_error(question, EncoderNotReadyError("The vision encoder is not ready."))
            return
        try:
            waiter, job = self._queue.enter(digest, background=background)
        except ServiceError as error:
            self._send_error(question, error)
            return
        self._waiters[question] = waiter
        if job is not None:
            self._undecoded[digest] = _Undecoded(job, [question])
            self._digests[question] = digest
            self._send(question, messages.DECODE)
        elif (undecoded := self._undecoded.get(digest)) is not None:
            undecoded.questions.append(question)
            self._digests[question] = digest
        waiter.add_done_callback(partial(self._note_done, question))

    def _find(self, question: Question, digest: str) -> None:
        if (image := self._queue.find_cached(digest)) is not None:
            self._send_embeddings(question, image)
        else:
            self._send(question, messages.ABSENT)

    def _add_pixels(self, question: Question, pixels: memoryview) -> None:
        if (undecoded := self._take_undecoded(question)) is None:
            return  # cancelled meanwhile; another question has been asked to decode
        size = self._encoder.config.image_size
        tensor = messages.unpack_tensor(pixels, torch.uint8, (size, size, 3))
        self._queue.add_pixels(undecoded.job, tensor)

    def _take_undecoded(self, question: Question) -> _Undecoded | None:
        """Return the job that ``question`` decodes, which then no longer counts as undecoded."""
        digest = self._digests.get(question)
        undecoded = self._undecoded.get(digest) if digest else None
        if undecoded is None or digest is None or undecoded.questions[0] != question:
            return None
        del self._undecoded[digest]
        for waiting in undecoded.questions:
            del self._digests[waiting]
        return undecoded

    def _cancel(self, question: Question) -> None:
        if (waiter := self._waiters.pop(question, None)) is None:
            return
        waiter.cancel()
        if (digest := self._digests.pop(question, None)) is None:
            return
        undecoded = self._undecoded[digest]
        decoder = undecoded.questions[0]
        undecoded.questions.remove(question)
        if not undecoded.questions:
            del self._undecoded[digest]
            self._queue.drop_if_abandoned(undecoded.job)
        elif decoder == question:
            self._send(undecoded.questions[0], messages.DECODE)

    def _note_done(self, question: Question, waiter: "Future[EncodedImage]") -> None:
        """Remember an answer. Runs on the thread that has it: the encoding thread or this one."""
        self._done.append((question, waiter))
        os.eventfd_write(self._wake, 1)

    def _send_answers(self) -> None:
        while self._done:
            question, waiter = self._done.popleft()
            if self._waiters.pop(question, None) is None:
                continue  # cancelled
            if (error := waiter.exception()) is not None:
                self._send_error(question, error)
                continue
            self._send_embeddings(question, waiter.result())

    def _send_embeddings(self, question: Question, image: EncodedImage) -> None:
        facts = f"{image.embeddings.dtype} {image.seconds}".encode()
        self._send(question, messages.EMBEDDINGS, facts, messages.pack_tensor(image.embeddings))

    def _send_error(self, question: Question, error: BaseException) -> None:
        self._send(question, messages.ERROR, messages.pack_error(error))

    def _send(
        self, question: Question, kind: int, text: bytes = b"", data: memoryview | None = None
    ) -> None:
        client, number = question
        self._socket.send(client, zmq.SNDMORE)
        head = messages.pack_head(kind, number, text)
        self._socket.send(head, 0 if data is None else zmq.SNDMORE)
        if data is not None:
            self._socket.send(data, copy=False)

    def _status(self) -> messages.Status:
        started = self._encoding.batch_started
        return messages.Status(
            silence=0.0 if started is None else monotonic() - started,
            seconds_to_empty=self._queue.seconds_to_empty,
            failed=self._encoding.failed,
        )
