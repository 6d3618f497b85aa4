"""vLLM's flags about connections: TLS, timeouts, allowed origins, keys."""

import argparse
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from vllm import envs
from vllm.entrypoints.launchers.utils.server_utils import get_uvicorn_log_config

from service.errors import SettingsError
from service.serve.http_protocol import BoundedHead


def uvicorn_config(app: ASGIApp, arguments: argparse.Namespace) -> uvicorn.Config:
    """Load uvicorn's configuration.

    The service writes access lines and messages of start and stop itself.

    Raises:
        SettingsError: certificate, key or ciphers cannot be used.
    """
    log_config = get_uvicorn_log_config(arguments)
    if log_config is not None and arguments.uvicorn_log_level == "info":
        log_config["loggers"]["uvicorn.error"]["level"] = "WARNING"
    config = uvicorn.Config(
        app,
        http=BoundedHead,
        # Otherwise a request would inherit the trace span of the previous request on its
        # connection.
        reset_contextvars=True,
        log_config=log_config,
        log_level=None,
        access_log=False,
        ssl_keyfile=arguments.ssl_keyfile,
        ssl_certfile=arguments.ssl_certfile,
        ssl_ca_certs=arguments.ssl_ca_certs,
        ssl_cert_reqs=arguments.ssl_cert_reqs,
        # Without the flag, uvicorn's own default applies.
        **({"ssl_ciphers": arguments.ssl_ciphers} if arguments.ssl_ciphers else {}),
        timeout_keep_alive=envs.VLLM_HTTP_TIMEOUT_KEEP_ALIVE,
        # Streams that are still open after the drain are cut.
        timeout_graceful_shutdown=1,
    )
    if arguments.ssl_keyfile and not arguments.ssl_certfile:
        raise SettingsError("--ssl-keyfile needs --ssl-certfile.")
    try:
        config.load()
    except (OSError, ValueError) as error:
        # OpenSSL does not name the file.
        given = {name: value for name, value in vars(arguments).items() if name.startswith("ssl_")}
        files = ", ".join(value for value in given.values() if isinstance(value, str))
        raise SettingsError(f"TLS cannot be set up with {files}: {error}") from error
    return config


def cors_options(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Keyword arguments of Starlette's CORS middleware; None without ``--allowed-origins``."""
    if not arguments.allowed_origins:
        return None
    return {
        "allow_origins": arguments.allowed_origins,
        "allow_credentials": arguments.allow_credentials,
        "allow_methods": arguments.allowed_methods,
        "allow_headers": arguments.allowed_headers,
    }


def given_keys(arguments: argparse.Namespace) -> list[str]:
    """Return the keys of ``--api-key``, or the key of VLLM_API_KEY."""
    return [key for key in (arguments.api_key or [envs.VLLM_API_KEY]) if key]
