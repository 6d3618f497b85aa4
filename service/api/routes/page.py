"""Serves the page: its files, the example images, and the settings that it shows.

Addresses in the page are relative, so that it also works below a prefix (``--root-path``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.settings import Settings

STATIC = Path(__file__).parent / "static"

MAX_EXAMPLES = 12
"""Maximum number of examples on the page."""

ABOUT = "about.txt"
"""Text beside the examples that says what the model can and cannot do."""

# Python's own table depends on the system, and with nosniff the browser rejects a wrong type.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
EXAMPLE_TYPES = frozenset({".jpeg", ".jpg", ".png", ".webp"})

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # The browser refuses to turn text into HTML, even if a later change tries to.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # The ETag is checked at each load, so that modules of two versions never run together.
    "Cache-Control": "no-cache",
}


def attach_page(app: FastAPI, model: Path, defaults: Mapping[str, Any], settings: Settings) -> None:
    """Serve the page at ``/`` and its files below ``/page``.

    Args:
        app: The application.
        model: A model folder; images in its ``examples`` folder are offered instead of ours, and the
            text ``about.txt`` there is shown.
        defaults: The default sampling parameters, for display.
        settings: The limits on pictures, which the page checks before it sends one.
    """
    own = _pictures(model / "examples")
    folder = model / "examples" if own else STATIC / "examples"
    shown = [_example(picture) for picture in own or _pictures(folder)]
    limits = {
        "pictures": settings.images_per_prompt,
        "bytes": settings.image_max_bytes,
        "pixels": settings.image_max_pixels,
    }
    shown_settings = {
        "about": _read_about(model / "examples"),
        "examples": shown,
        "defaults": dict(defaults),
        "limits": limits,
    }

    async def index() -> Response:
        return FileResponse(STATIC / "index.html", media_type="text/html", headers=HEADERS)

    async def page_settings() -> Response:
        return JSONResponse(shown_settings, headers=HEADERS)

    app.add_api_route("/", index, methods=["GET"], include_in_schema=False)
    app.add_api_route("/page/settings", page_settings, methods=["GET"], include_in_schema=False)
    app.mount("/page/examples", _Files(folder, EXAMPLE_TYPES))
    app.mount("/page", _Files(STATIC, frozenset(MEDIA_TYPES)))


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in EXAMPLE_TYPES]
    return files[:MAX_EXAMPLES]


def _read_about(folder: Path) -> str:
    """Return what the model can do, in the model folder's own words; empty if it has none."""
    file = folder / ABOUT
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def _example(picture: Path) -> dict[str, str]:
    name = picture.stem.replace("-", " ").replace("_", " ")
    return {"url": f"page/examples/{picture.name}", "name": name[:1].upper() + name[1:]}


class _Files(StaticFiles):
    """Static files of known types, with the page's headers."""

    def __init__(self, folder: Path, types: frozenset[str]) -> None:
        # Model folders in a hub's cache consist of links to files elsewhere.
        super().__init__(directory=folder, follow_symlink=True)
        self._types = types

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or Starlette's refusal."""
        suffix = Path(path).suffix.lower()
        if suffix not in self._types:
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        if response.status_code == 200:
            response.headers["Content-Type"] = MEDIA_TYPES[suffix]
        return response
