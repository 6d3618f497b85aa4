"""Who is listened to, as vLLM's flags ask for it: connections, TLS, origins, keys."""

import argparse

import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from vllm import envs
from vllm.entrypoints.launchers.utils.server_utils import get_uvicorn_log_config

from service.errors import SettingsError
from service.serve.http_protocol import BoundedHead


def uvicorn_config(app: ASGIApp, arguments: argparse.Namespace) -> uvicorn.Config:
    """uvicorn's configuration, loaded; access lines and news of starting and stopping are ours.

    Raises:
        SettingsError: certificate, key or ciphers cannot be used.
    """
    log_config = get_uvicorn_log_config(arguments)
    if log_config is not None and arguments.uvicorn_log_level == "info":
        log_config["loggers"]["uvicorn.error"]["level"] = "WARNING"
    config = uvicorn.Config(
        app,
        http=BoundedHead,
        # A request must not inherit another one's tenant or span through its connection.
        reset_contextvars=True,
        log_config=log_config,
        log_level=None,
        access_log=False,
        ssl_keyfile=arguments.ssl_keyfile,
        ssl_certfile=arguments.ssl_certfile,
        ssl_ca_certs=arguments.ssl_ca_certs,
        ssl_cert_reqs=arguments.ssl_cert_reqs,
        # uvicorn's own default where none are named.
        **({"ssl_ciphers": arguments.ssl_ciphers} if arguments.ssl_ciphers else {}),
        timeout_keep_alive=envs.VLLM_HTTP_TIMEOUT_KEEP_ALIVE,
        # A stream that outlives the drain is cut.
        timeout_graceful_shutdown=1,
    )
    if arguments.ssl_keyfile and not arguments.ssl_certfile:
        raise SettingsError("--ssl-keyfile needs --ssl-certfile.")
    try:
        config.load()
    except (OSError, ValueError) as error:
        # OpenSSL names no file.
        given = {name: value for name, value in vars(arguments).items() if name.startswith("ssl_")}
        files = ", ".join(value for value in given.values() if isinstance(value, str))
        raise SettingsError(f"TLS cannot be set up with {files}: {error}") from error
    return config


def with_cors(app: ASGIApp, arguments: argparse.Namespace) -> ASGIApp:
    """``app`` for pages of ``--allowed-origins``, which must be able to read its refusals, too."""
    if not arguments.allowed_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=arguments.allowed_origins,
        allow_credentials=arguments.allow_credentials,
        allow_methods=arguments.allowed_methods,
        allow_headers=arguments.allowed_headers,
    )


def given_keys(arguments: argparse.Namespace) -> list[str]:
    """The keys of ``--api-key``, or else of VLLM_API_KEY."""
    return [key for key in (arguments.api_key or [envs.VLLM_API_KEY]) if key]
