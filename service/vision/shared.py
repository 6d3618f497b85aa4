"""The one encoder of a process.

The service starts it before it listens. Under plain ``vllm serve`` nobody does, so the first image
starts it there; engine processes never ask for it and never load the vision weights.
"""

import threading
from pathlib import Path

from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import load_vision_config
from service.settings import Settings, load_settings
from service.vision.encoder import TorchEncoder, choose_device, choose_dtype
from service.vision.image_queue import EncodingLimits
from service.vision.runtime import EncodingRuntime

_lock = threading.Lock()
_folder: ModelFolder | None = None
_settings: Settings | None = None
_runtime: EncodingRuntime | None = None


def set_model_folder(folder: ModelFolder) -> None:
    """Say where the weights are; called by whoever knows the model first (idempotent)."""
    global _folder
    _folder = _folder or folder


def ensure_model_folder(root: Path) -> None:
    """As :func:`set_model_folder`; reads the folder's index only where nobody has yet."""
    if _folder is None:
        set_model_folder(ModelFolder.open(root))


def set_settings(settings: Settings) -> None:
    """Say how to encode; without it the environment's settings hold."""
    global _settings
    _settings = settings


def shared_settings() -> Settings:
    """The settings in force in this process."""
    global _settings
    if _settings is None:
        _settings = load_settings()
    return _settings


def shared_runtime() -> EncodingRuntime:
    """The started runtime; starts it if nobody has, which blocks for the time of loading."""
    global _runtime
    with _lock:
        if _runtime is None:
            _runtime = _start(_folder, shared_settings())
        return _runtime


def stop_shared_runtime() -> None:
    """Shut the runtime down, if there is one."""
    global _runtime
    with _lock:
        if _runtime is not None:
            _runtime.shutdown()
            _runtime = None


def _start(folder: ModelFolder | None, settings: Settings) -> EncodingRuntime:
    assert folder is not None, "the encoder was asked for before the model was known: a bug"
    device = choose_device(settings.encoder_device)
    sizes = [1 << power for power in range(settings.encoder_max_batch.bit_length())]
    encoder = TorchEncoder(
        folder.vision,
        load_vision_config(folder.vision),
        device,
        choose_dtype(settings.encoder_dtype, device),
        sorted(
            {
                *(size for size in sizes if size < settings.encoder_max_batch),
                settings.encoder_max_batch,
            }
        ),
        settings.encoder_threads,
    )
    runtime = EncodingRuntime(encoder, EncodingLimits.from_settings(settings))
    runtime.startup()
    return runtime
