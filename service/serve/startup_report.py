"""Versions, devices and limits, as a metric and as a line that the start prints last."""

from prometheus_client import Gauge
from vllm.config import VllmConfig

from service.api.routes.version import versions
from service.model_folder.layout import ModelFolder
from service.settings import Settings
from service.vision.encoder import choose_device, choose_dtype

# Not an Info: those do not work over several processes.
BUILD = Gauge(
    "minigpt4_build_info",
    "Versions of the service and of vLLM, and the model's family",
    [*versions(), "family"],
    multiprocess_mode="livemax",
)


def capacity(folder: ModelFolder, settings: Settings, config: VllmConfig) -> str:
    """A line with the model, devices, dtypes and limits; sets the build metric as well."""
    BUILD.labels(**versions(), family=folder.index.family).set(1)
    model, cache, scheduler = config.model_config, config.cache_config, config.scheduler_config
    tokens = (cache.num_gpu_blocks or 0) * cache.block_size
    device = choose_device(settings.encoder_device)
    dtype = choose_dtype(settings.encoder_dtype, device)
    requests = tokens / model.max_model_len
    return (
        f"{folder.index.family} from {folder.root}: language model {_name(model.dtype)} on "
        f"{config.device_config.device_type}, vision encoder {_name(dtype)} on {device}. "
        f"Context {model.max_model_len} tokens; KV cache {tokens} tokens, {requests:.1f} requests of "
        f"full length; at most {scheduler.max_num_seqs} sequences at once, "
        f"{settings.images_per_prompt} images a request, {settings.encoder_queue} images waiting."
    )


def _name(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")
