"""The API's documentation at ``/docs``, which works offline: vLLM ships the files of Swagger UI."""

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

ICON = "data:,"
"""An empty icon. Without one, a browser would ask for /favicon.ico."""


def find_swagger_files() -> Path:
    """Return the folder of Swagger UI's script and style in the installed vLLM."""
    return Path(str(files("vllm.entrypoints.serve.instrumentator"))) / "static"


def attach_documentation(app: FastAPI) -> None:
    """Serve ``/docs`` and its files below it. The addresses are relative, for ``--root-path``."""

    async def documentation() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url=ICON,
        )

    app.add_api_route("/docs", documentation, methods=["GET"], include_in_schema=False)
    app.mount("/docs", StaticFiles(directory=find_swagger_files()))
