"""Every setting of the service itself; vLLM's are its own flags, passed through.

Precedence: command line over environment (``MINIGPT4_*``) over a TOML file over default.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from service.errors import SettingsError

LogFormat = Literal["text", "json"]

MEBIBYTE = 1 << 20

# Kubernetes puts these into every container beside a Service named minigpt4 or minigpt4-*.
SERVICE_LINK = re.compile(
    r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)


class Settings(BaseSettings):
    """Frozen; unknown keys are refused. Each description gives the unit and the default's reason."""

    model_config = SettingsConfigDict(
        env_prefix="MINIGPT4_", extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    model: str = "default"
    """Model folder, or the name of a model that comes with the service."""

    cache_dir: Path = Path("~/.cache/minigpt4-service").expanduser()
    """Folder for models that the service writes itself (`tiny`)."""

    log_format: LogFormat = "text"
    """`text` for people, `json` for collectors; vLLM's own lines follow it."""

    api_keys_file: Path | None = None
    """File of names and hashes of API keys (`minigpt4-service keys add NAME FILE`), read again when it
    changes. Without one, and without `--api-key`, no key is asked for."""

    isolate_keys: bool = False
    """Whether each API key has caches of its own, so that nobody can tell by an answer's timing what
    another key has asked. Costs hits where keys ask about the same images."""

    request_max_seconds: float = Field(600.0, gt=0)
    """Seconds a request may take, its stream included; the header `X-Request-Timeout` may shorten it.
    OpenAI's clients give up after 600."""

    request_max_bytes: PositiveInt = 64 * MEBIBYTE
    """Size of a request's body, in bytes, at most; a few large images in base64 fit."""

    request_bodies_mb: PositiveInt = 512
    """Mebibytes of the bodies of all requests under way, at most; beyond it 503 with Retry-After. Parsing
    and decoding take up to four times that. One body of the largest size always fits."""

    images_per_prompt: PositiveInt = 8
    """Images in one request's whole conversation, at most; each takes 32 to 256 tokens of context."""

    image_max_bytes: PositiveInt = 20 * MEBIBYTE
    """Encoded size of an image, in bytes, at most. OpenAI's own limit is of this order."""

    image_max_pixels: PositiveInt = 50_000_000
    """Width times height, in pixels, at most, checked before decoding; a 50-megapixel camera fits."""

    image_fetch_timeout: float = Field(5.0, gt=0)
    """Seconds for fetching an image from a URL, redirects included."""

    image_allowed_hosts: frozenset[str] = frozenset()
    """Hosts that image URLs may name (a JSON list); empty allows every public host."""

    image_allow_private_addresses: bool = False
    """Whether image URLs may lead to loopback, private and other non-public addresses."""

    encoder_device: str = "auto"
    """`auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`."""

    encoder_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Weights of the vision encoder; `auto` is float32 with `--dtype float32`, else bfloat16 on a GPU
    and on a CPU that multiplies it faster."""

    encoder_threads: int = Field(0, ge=0)
    """CPU threads of one encoding; 0 takes half of the cores, as the engine needs the others."""

    encoder_max_batch: PositiveInt = 16
    """Images encoded together at most, across requests."""

    encoder_max_wait_ms: float = Field(0.0, ge=0)
    """Milliseconds that images which arrived during an encoding may wait for more; an idle encoder
    never waits. 0, as whatever came during an encoding already fills the next batch."""

    encoder_queue: PositiveInt = 256
    """Images waiting for the encoder at most, over all requests; beyond it 503 with Retry-After."""

    embedding_cache_mb: int = Field(256, ge=0)
    """Mebibytes of embeddings kept for images that come again; a 7B image takes 0.5 (float32)."""

    decode_threads: PositiveInt = 2
    """Images decoded at the same time, uploads among them; each may take image_max_pixels times
    16 bytes (WebP; 4 to 10 in other formats)."""

    files_dir: Path | None = None
    """Folder of uploaded files; without one, `files` in cache_dir. Mount a volume to keep them."""

    files_mb: int = Field(1024, ge=0)
    """Mebibytes of uploaded files of each API key (of all clients, where there are no keys) at most;
    0 turns `/v1/files` off."""

    files_max_hours: float = Field(720.0, gt=0)
    """Hours after which an uploaded file is gone at the latest; a client may ask for less."""

    image_embeddings_input: bool = False
    """Whether chats may bring embeddings in an image's place (`image_embeds` parts). Off by default: a
    client that sends embeddings can make the model see what no image shows."""

    page: bool = True
    """Whether `/` serves the page to try the service in a browser."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Init values are the command line's; there is no .env and no secrets folder."""
        toml = TomlConfigSettingsSource(settings_cls)
        return init_settings, env_settings, toml

    @property
    def bodies_max_bytes(self) -> int:
        """Size of all bodies under way at most."""
        return max(self.request_bodies_mb * MEBIBYTE, self.request_max_bytes)

    @property
    def files_root(self) -> Path:
        """Where uploaded files are."""
        return self.files_dir or self.cache_dir / "files"


def load_settings(file: Path | None = None, **command_line: Any) -> Settings:
    """Settings from all sources; raises :class:`SettingsError` naming each wrong one.

    Args:
        file: TOML file.
        command_line: Values given as flags.
    """

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    if file is not None and not file.is_file():
        raise SettingsError(f"Settings file {file} is not there.")
    if unknown := _unknown_in(os.environ):
        raise SettingsError(f"Settings: unknown in the environment: {', '.join(sorted(unknown))}")
    try:
        return FromFile(**command_line)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise SettingsError(f"Settings: {problems}") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"Settings file {file}: {error}") from None


def _unknown_in(environment: Iterable[str]) -> set[str]:
    known = {f"MINIGPT4_{name.upper()}" for name in Settings.model_fields}
    return {
        name
        for name in environment
        if name.startswith("MINIGPT4_") and name not in known and not SERVICE_LINK.fullmatch(name)
    }
