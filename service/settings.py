"""All settings of the service itself; vLLM's flags are passed through and are not listed here.

Precedence: command line over environment (``MINIGPT4_*``) over a TOML file over default.
"""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from service import __version__
from service.errors import SettingsError

LogFormat = Literal["text", "json"]

MEBIBYTE = 1 << 20

DEFAULT_USER_AGENT = f"minigpt4-service/{__version__}"

PROXY = re.compile(r"https?://([^/@\s]+@)?[^/@:\s]+(:\d{1,5})?/?")

# Kubernetes sets these variables in every container if a Service is named minigpt4 or minigpt4-*.
SERVICE_LINK = re.compile(
    r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)


class Settings(BaseSettings):
    """The settings, which are frozen. A description gives the unit and the default's reason."""

    model_config = SettingsConfigDict(
        env_prefix="MINIGPT4_",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        enable_decoding=False,
    )

    model: str = "default"
    """Model folder, or the name of a model that comes with the service."""

    projections: dict[str, Path] = {}
    """Projections to serve by name over the model folder's encoder and language model (a JSON object; on the
    command line also `--projection NAME=FILE`, any number of times)."""

    projections_dir: Path | None = None
    """Folder that is watched for projections: a file `NAME.safetensors`, `NAME.pth` or a model folder `NAME` is served
    as the model `NAME` within seconds, and no longer when it is removed."""

    adapters_dir: Path | None = None
    """Folder with LoRA adapters that clients may load while the service runs. Needs `adapter_keys` and vLLM's
    `--enable-lora`."""

    adapter_keys: frozenset[str] = frozenset()
    """Names of the API keys that may load and unload LoRA adapters (a JSON list)."""

    cache_dir: Path = Path("~/.cache/minigpt4-service").expanduser()
    """Folder in which the service stores the models that it makes itself (`tiny`), uploaded files, and on
    a GPU the compiled kernels."""

    log_format: LogFormat = "text"
    """`text` for people, `json` for log collectors. vLLM's lines have the same format."""

    api_keys_file: Path | None = None
    """File with the names and hashes of the API keys (`minigpt4-service keys add NAME FILE`). The
    service reads the file again when it changes. Without this file and without `--api-key`,
    requests need no key."""

    isolate_keys: bool = False
    """Whether each API key has its own caches, so that response times do not reveal what the users
    of another key asked. Costs cache hits if several keys ask about the same images."""

    usage_file: Path | None = None
    """File that keeps what each API key has used over restarts (`GET /v1/usage`). Each replica needs its own.
    Without it, the sums begin at zero with each start."""

    request_max_seconds: float = Field(600.0, gt=0)
    """Seconds that a request may take, including its stream. The header `X-Request-Timeout` may set
    a shorter time. OpenAI's clients give up after 600."""

    request_max_bytes: PositiveInt = 64 * MEBIBYTE
    """Maximum size of a request's body, in bytes. The default fits a few large images in base64."""

    request_bodies_mb: PositiveInt = 512
    """Maximum size of the bodies of all requests in progress, in mebibytes; beyond it the service
    answers 503 with Retry-After. Parsing and decoding take up to four times as much memory. One
    body of `request_max_bytes` always fits."""

    images_per_prompt: PositiveInt = 8
    """Maximum number of images in the whole conversation of one request. Each takes 32 to 256
    tokens of the context."""

    image_max_bytes: PositiveInt = 20 * MEBIBYTE
    """Maximum size of an image file, in bytes. OpenAI's own limit is of the same order."""

    image_max_pixels: PositiveInt = 50_000_000
    """Maximum width times height of an image, in pixels, checked before decoding. The default fits
    a 50-megapixel camera."""

    image_fetch_timeout: float = Field(5.0, gt=0)
    """Seconds to fetch an image from a URL, including redirects."""

    image_allowed_hosts: frozenset[str] = frozenset()
    """Hosts that image URLs may name (a JSON list). Empty allows every public host."""

    image_user_agent: str = DEFAULT_USER_AGENT
    """`User-Agent` header of requests for images; a server's operator can tell by it who fetches."""

    image_url_cache_seconds: float = Field(0.0, ge=0)
    """Seconds for which the service remembers which image a URL led to. Within them it asks the URL's server only
    whether the image has changed (`If-None-Match`, `If-Modified-Since`), and uses the cached embeddings if it has
    not. 0 downloads the image for every request."""

    image_proxy: SecretStr | None = None
    """HTTP proxy for requests for images (`http://host:port`, with `user:password@` where it asks for them). The
    service still looks up and checks the address of each host, and gives the proxy that address. The proxy
    variables of the environment are not used."""

    image_orientation: Literal["stored", "exif"] = "stored"
    """`stored` shows images to the model as they are stored, like the original; `exif` turns them upright first. A
    request can choose by `media_io_kwargs: {"image": {"orientation": "exif"}}`."""

    image_allow_private_addresses: bool = False
    """Whether image URLs may lead to loopback, private and other non-public addresses."""

    encoder_process: Literal["auto", "on", "off"] = "auto"
    """Whether the encoder runs in a process of its own instead of on a thread of the API process. `auto` is `on`
    on a GPU, and with `--api-server-count` above 1, which needs it."""

    encoder_device: str = "auto"
    """`auto` (the first GPU, or the CPU without one), `cpu`, `cuda` or `cuda:N`."""

    encoder_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the vision encoder's weights. `auto` is float32 with `--dtype float32`.
    Otherwise it is bfloat16 on a GPU and on a CPU with AMX, else float32."""

    encoder_threads: int = Field(0, ge=0)
    """CPU threads of one encoding. 0 means half of the cores, as the engine needs the others."""

    encoder_max_batch: PositiveInt = 16
    """Maximum number of images in one batch. Images of different requests share a batch."""

    encoder_max_wait_ms: float = Field(0.0, ge=0)
    """Milliseconds that images which arrived during an encoding may wait for more images. An idle
    encoder starts at once. The default is 0, because the images that arrive during an encoding
    already form the next batch."""

    encoder_queue: PositiveInt = 256
    """Maximum number of images, over all requests, that wait for the encoder; beyond it the service
    answers 503 with Retry-After."""

    embedding_cache_mb: int = Field(256, ge=0)
    """Mebibytes of cached embeddings, for images that are sent again. With a 7B model, an image
    takes 0.5 (float32)."""

    decode_threads: int = Field(0, ge=0)
    """Images that each API process decodes at once, including uploads. Each may take `image_max_pixels`
    times 16 bytes (WebP; 4 to 10 bytes in other formats). 0 means a quarter of the cores over all API
    processes, and at least 2 in each."""

    files_dir: Path | None = None
    """Folder of the uploaded files. Without it, they are in `files` below `cache_dir`. Mount a
    volume to keep them."""

    files_mb: int = Field(1024, ge=0)
    """Maximum size of the uploaded files of each API key, or of all clients if there are no keys,
    in mebibytes. 0 turns `/v1/files` and `/v1/batches` off."""

    files_max_hours: float = Field(720.0, gt=0)
    """Hours after which an uploaded file expires at the latest. A client may set a shorter time."""

    batch_concurrency: int = Field(4, ge=0)
    """Lines of batches that run at once while the service has nothing else to do. 0 turns `/v1/batches`
    off. The default is small, because a new request shares a CPU's cores with the lines that run. A
    GPU has room for 32 or more."""

    batch_concurrency_busy: PositiveInt = 1
    """Lines of batches that run at once while other requests are served. With 1, a service that is
    always busy still finishes its batches."""

    batch_max_lines: PositiveInt = 50_000
    """Maximum number of lines of one batch; OpenAI's own limit."""

    batch_max_open: PositiveInt = 16
    """Maximum number of unfinished batches of each API key, or of all clients if there are no keys."""

    batch_output_mb: PositiveInt = 256
    """Mebibytes of results after which the other lines of a batch fail. Results may exceed `files_mb`;
    they count in it for the next upload."""

    image_embeddings_input: bool = False
    """Whether a chat may contain embeddings in place of an image (`image_embeds` parts). Off by
    default: a client that sends embeddings can make the model see things that no image shows."""

    hang_unhealthy_seconds: float = Field(60.0, gt=0)
    """Seconds without progress of the engine or the encoder after which `/health` answers 503. A long prompt takes
    seconds for one step on a GPU and can take a minute for a 7B model on a CPU."""

    hang_exit_seconds: float = Field(300.0, gt=0)
    """Seconds without progress after which the process exits, so that the orchestrator starts a new one."""

    refuse_long_answers: bool = False
    """Whether the service refuses a request for more tokens than fit into the context. Off by default,
    because many clients ask for 4,096 tokens with every model: the service then generates as many as
    fit."""

    warm_up: Literal["auto", "on", "off"] = "auto"
    """Whether the service answers a few requests of its own before `/ready` is 200, so that no client waits
    for a compiler. `auto` does so where kernels are compiled at first use: on a GPU, and on a CPU with
    `--no-enforce-eager`."""

    page: bool = True
    """Whether `/` serves a page to try the service in a browser."""

    @field_validator("projections", "adapter_keys", "image_allowed_hosts", mode="before")
    @classmethod
    def _read_json(cls, value: Any) -> Any:
        """Read lists and objects from the text of a flag or of a variable."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError(f"{value!r} is not JSON") from None

    @field_validator("image_proxy")
    @classmethod
    def _check_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None and not PROXY.fullmatch(proxy.get_secret_value()):
            raise ValueError("a proxy is http://host:port or https://host:port")
        return proxy

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: the command line (init values), the environment, the TOML file."""
        toml = TomlConfigSettingsSource(settings_cls)
        return init_settings, env_settings, toml

    @property
    def bodies_max_bytes(self) -> int:
        """The most bytes of the bodies of all requests in progress."""
        return max(self.request_bodies_mb * MEBIBYTE, self.request_max_bytes)

    @property
    def names_projections(self) -> bool:
        """Whether projections are served by name; the encoder then gives features."""
        return bool(self.projections or self.projections_dir)

    @property
    def files_root(self) -> Path:
        """Folder of the uploaded files."""
        return self.files_dir or self.cache_dir / "files"


def load_settings(file: Path | None = None, **command_line: Any) -> Settings:
    """Read the settings from all sources.

    Args:
        file: TOML file.
        command_line: Values of the flags.

    Raises:
        SettingsError: names each setting that is wrong.
    """

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    if file is not None and not file.is_file():
        raise SettingsError(f"The settings file {file} does not exist.")
    if unknown := _find_unknown(os.environ):
        raise SettingsError(f"Unknown settings in the environment: {', '.join(sorted(unknown))}")
    try:
        return FromFile(**command_line)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise SettingsError(f"Settings: {problems}") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"Settings file {file}: {error}") from None


def _find_unknown(environment: Iterable[str]) -> set[str]:
    known = {f"MINIGPT4_{name.upper()}" for name in Settings.model_fields}
    return {
        name
        for name in environment
        if name.startswith("MINIGPT4_") and name not in known and not SERVICE_LINK.fullmatch(name)
    }
