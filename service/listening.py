"""How connections are taken, as vLLM's flags ask for it: TLS, the log, how long an idle one is kept."""

import argparse

import uvicorn
from starlette.types import ASGIApp
from vllm import envs
from vllm.entrypoints.launchers.utils.server_utils import get_uvicorn_log_config

from service.errors import SettingsError
from service.http.protocol import BoundedHead


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
