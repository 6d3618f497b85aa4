"""Projections by name, over one encoder: which there are, and their application in batches.

With them, the encoder gives features (the projection's input), which are cached by image alone. Each request's
projection then maps them to embeddings. Requests' threads call :meth:`Projections.submit`; one thread computes.
"""

import asyncio
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b

import torch
from prometheus_client import Counter, Gauge
from torch import Tensor, nn

from service.errors import EncodingError
from service.model_folder.projection_file import ProjectionFile
from service.model_folder.vision_config import VisionConfig
from service.tensors.finite import is_finite
from service.vision.encoded_image import EncodedImage
from service.vision.projected_encoder import make_projection

PROJECTED = Counter(
    "minigpt4_projected_images", "Images that a projection was applied to, by model", ["model"]
)
COUNT = Gauge(
    "minigpt4_projections", "Projections that are served by name", multiprocess_mode="livemax"
)
BYTES = Gauge(
    "minigpt4_projection_bytes",
    "Size of the weights of all projections in bytes",
    multiprocess_mode="livemax",
)


@dataclass(frozen=True, eq=False)
class Projection:
    """A projection that is ready to be applied.

    Attributes:
        name: The model's name for clients.
        digest: Part of the identity of embeddings, and so of every cache key.
    """

    name: str
    digest: str
    module: nn.Module

    @property
    def bytes(self) -> int:
        """Size of the weights."""
        return sum(p.numel() * p.element_size() for p in self.module.parameters())


@dataclass(frozen=True, eq=False)
class _Task:
    image: EncodedImage
    projection: Projection
    waiter: "Future[EncodedImage]"


class Projections:
    """All projections of a process.

    Attributes:
        base: The model folder's own, for requests that name no other.
    """

    def __init__(
        self, base: ProjectionFile, config: VisionConfig, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Store where to compute, and in which dtype: that of the encoder."""
        self._config, self._device, self._dtype = config, device, dtype
        self._named: dict[str, Projection] = {}
        self._lock = threading.Lock()
        self._waiting: list[_Task] = []
        self._is_running = False
        self._thread = ThreadPoolExecutor(1, "projecting", initializer=_use_one_thread)
        self.base = self._load(base)

    @property
    def names(self) -> list[str]:
        """The names beside the base model's, sorted."""
        return sorted(self._named)

    def add(self, file: ProjectionFile) -> None:
        """Serve a projection from now on; one of the same name is replaced."""
        projection = self._load(file)
        PROJECTED.labels(projection.name)
        self._named = {**self._named, file.name: projection}
        self._report()

    def remove(self, name: str) -> None:
        """Serve a projection no longer; requests that have found it keep it."""
        self._named = {other: p for other, p in self._named.items() if other != name}
        self._report()

    def find(self, name: str | None) -> Projection | None:
        """The projection of this name; None for an unknown name."""
        return self._named.get(name) if name else None

    async def project(self, image: EncodedImage, projection: Projection) -> EncodedImage:
        """Map an image's features to embeddings, together with those of other requests.

        Raises:
            EncodingError: the projection cannot be applied, or gives numbers that are not finite.
        """
        return await asyncio.wrap_future(self.submit(image, projection))

    def submit(self, image: EncodedImage, projection: Projection) -> "Future[EncodedImage]":
        """Do the same as :meth:`project` from any thread."""
        waiter: Future[EncodedImage] = Future()
        with self._lock:
            self._waiting.append(_Task(image, projection, waiter))
            if not self._is_running:
                self._is_running = True
                self._thread.submit(self._run)
        return waiter

    def shutdown(self) -> None:
        """Finish what is waiting. Idempotent."""
        self._thread.shutdown()

    def _load(self, file: ProjectionFile) -> Projection:
        config = self._config.model_copy(update={"projection_layers": file.layers})
        with torch.device("meta"):
            module = make_projection(config)
        module.load_state_dict(dict(file.tensors), assign=True)
        module.to(self._device, self._dtype).requires_grad_(False)
        return Projection(file.name, file.digest, module)

    def _report(self) -> None:
        COUNT.set(len(self._named))
        BYTES.set(sum(p.bytes for p in (self.base, *self._named.values())))

    # Everything below runs on the thread.

    def _run(self) -> None:
        while True:
            with self._lock:
                tasks, self._waiting = self._waiting, []
                if not tasks:
                    self._is_running = False
                    return
            for group in _group(tasks):
                self._apply(group)

    def _apply(self, tasks: list[_Task]) -> None:
        tasks = [task for task in tasks if task.waiter.set_running_or_notify_cancel()]
        if not tasks:
            return
        projection = tasks[0].projection
        try:
            embeddings = self._compute(projection, [task.image for task in tasks])
        except Exception as error:
            failure = EncodingError(f"The projection of {projection.name} failed.")
            failure.__cause__ = error
            for task in tasks:
                task.waiter.set_exception(failure)
            return
        PROJECTED.labels(projection.name).inc(len(tasks))
        for task, rows in zip(tasks, embeddings, strict=True):
            _deliver(task, rows)

    @torch.inference_mode()
    def _compute(self, projection: Projection, images: list[EncodedImage]) -> Tensor:
        features = torch.stack([image.embeddings for image in images])
        result: Tensor = projection.module(features.to(self._device, self._dtype)).cpu()
        return result


def _group(tasks: Iterable[_Task]) -> Iterable[list[_Task]]:
    """The tasks by projection."""
    groups: dict[int, list[_Task]] = {}
    for task in tasks:
        groups.setdefault(id(task.projection), []).append(task)
    return groups.values()


def _deliver(task: _Task, rows: Tensor) -> None:
    if is_finite(rows):
        digest = f"{task.image.digest} {task.projection.digest}".encode()
        image = EncodedImage(blake2b(digest, digest_size=32).hexdigest(), rows.clone())
        task.waiter.set_result(image)
    else:
        task.waiter.set_exception(EncodingError("The image's embeddings are not finite."))


def _use_one_thread() -> None:
    # A projection takes milliseconds on one core; more threads would wait for the engine's.
    torch.set_num_threads(1)
