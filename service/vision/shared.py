"""The one encoder of a process, and the model folder and settings that it is made from.

The service sets the folder and the settings, and starts the encoder before it is ready. Under plain
``vllm serve``, the processor sets the folder and the first image starts the encoder. Engine
processes never start it, so they never load the vision weights.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import load_vision_config
from service.settings import Settings, load_settings
from service.vision.encoder import TorchEncoder, choose_device, choose_dtype
from service.vision.interface import Runtime
from service.vision.limits import EncodingLimits
from service.vision.named_projections import Projections
from service.vision.runtime import EncodingRuntime


@dataclass
class _Process:
    """State of this process."""

    folder: ModelFolder | None = None
    settings: Settings | None = None
    runtime: Runtime | None = None
    projections: Projections | None = None


_process = _Process()
_lock = threading.Lock()
"""Guards the start and the stop of the runtime: requests may start it from several threads."""


def set_model_folder(folder: ModelFolder) -> None:
    """Set the folder that holds the weights; later calls change nothing."""
    _process.folder = _process.folder or folder


def ensure_model_folder(root: Path) -> None:
    """Set the model folder if it is not set; only then read its index."""
    if _process.folder is None:
        set_model_folder(ModelFolder.open(root))


def set_settings(settings: Settings) -> None:
    """Set the settings; without this call the environment's settings are used."""
    _process.settings = settings


def shared_settings() -> Settings:
    """Return the settings of this process."""
    if _process.settings is None:
        _process.settings = load_settings()
    return _process.settings


def set_projections(projections: Projections) -> None:
    """Serve projections by name; must be called before the runtime starts."""
    _process.projections = projections


def stop_shared_projections() -> None:
    """Finish what is being projected."""
    if _process.projections is not None:
        _process.projections.shutdown()
        _process.projections = None


def shared_projections() -> Projections | None:
    """Return the projections by name; None where the encoder applies the folder's own."""
    return _process.projections


def set_runtime(runtime: Runtime) -> None:
    """Use an encoder that runs elsewhere; without this call the process has its own."""
    _process.runtime = runtime


def shared_runtime() -> Runtime:
    """Return the runtime. The first call starts it and blocks until the weights are loaded."""
    with _lock:
        if _process.runtime is None:
            _process.runtime = _start_runtime(_process.folder, shared_settings())
        return _process.runtime


def stop_shared_runtime() -> None:
    """Shut the runtime down if it has been started."""
    with _lock:
        if _process.runtime is not None:
            _process.runtime.shutdown()
            _process.runtime = None


def _start_runtime(folder: ModelFolder | None, settings: Settings) -> Runtime:
    assert folder is not None, "the encoder was used before set_model_folder(): this is a bug"
    runtime = EncodingRuntime(
        make_encoder(folder, settings), EncodingLimits.from_settings(settings)
    )
    runtime.startup()
    return runtime


def make_encoder(folder: ModelFolder, settings: Settings) -> TorchEncoder:
    """Return the encoder that the settings describe, without starting it."""
    device = choose_device(settings.encoder_device)
    return TorchEncoder(
        folder.vision,
        load_vision_config(folder.vision),
        device,
        choose_dtype(settings.encoder_dtype, device),
        _list_batch_sizes(settings.encoder_max_batch),
        settings.encoder_threads,
        features=settings.names_projections,
    )


def _list_batch_sizes(largest: int) -> list[int]:
    """List the powers of two below ``largest``, and ``largest``."""
    powers = (1 << power for power in range(largest.bit_length()))
    return sorted({*powers, largest})
