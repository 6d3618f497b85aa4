"""The files and settings that the page's routes serve, without an engine."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.api.routes.page import MEDIA_TYPES, STATIC, attach_page
from service.demo.page_examples import DRAWINGS, SCENES
from service.settings import load_settings
from tests.pictures import encoded, picture

DEFAULTS = {"temperature": 1.0, "max_tokens": 300}


@pytest.fixture
def client_for(tmp_path: Path) -> Callable[..., TestClient]:
    """Make a client of an application that serves only the page, with a model's ``examples``."""

    def make(*examples: str) -> TestClient:
        for name in examples:
            (tmp_path / "examples").mkdir(exist_ok=True)
            (tmp_path / "examples" / name).write_bytes(encoded(picture()))
        app = FastAPI()
        attach_page(app, tmp_path, DEFAULTS, load_settings())
        return TestClient(app)

    return make


def test_the_policy_forbids_inline_code_and_other_hosts(
    client_for: Callable[..., TestClient],
) -> None:
    client = client_for()
    for path in ("/", "/page/main.js", "/page/settings", "/page/styles/base.css"):
        response = client.get(path)
        assert response.status_code == 200
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "style-src 'self';" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"


def test_every_file_has_a_known_type_and_no_url_of_another_host() -> None:
    for file in STATIC.rglob("*"):
        if file.is_dir():
            continue
        assert file.suffix in MEDIA_TYPES
        if file.suffix in {".js", ".css", ".html"}:
            text = file.read_text()
            assert "<style" not in text
            assert " style=" not in text
            assert "innerHTML" not in text
            assert ' src="http' not in text
            assert ' href="http' not in text


def test_a_model_without_examples_gets_the_default_examples(
    client_for: Callable[..., TestClient],
) -> None:
    client = client_for()
    settings = client.get("/page/settings").json()
    assert settings["about"] == ""
    assert settings["defaults"] == DEFAULTS
    assert settings["limits"] == {"pictures": 8, "bytes": 20 << 20, "pixels": 50_000_000}
    names = {Path(example["url"]).stem for example in settings["examples"]}
    assert names == {*DRAWINGS, *SCENES}
    for example in settings["examples"]:
        response = client.get("/" + example["url"])
        assert response.headers["content-type"] == "image/png"
        assert response.content.startswith(b"\x89PNG")


def test_a_models_own_examples_replace_the_default_ones(
    client_for: Callable[..., TestClient],
) -> None:
    client = client_for("a_small-cat.png", "b.webp", "scenes.json")
    examples = client.get("/page/settings").json()["examples"]
    assert examples == [
        {"url": "page/examples/a_small-cat.png", "name": "A small cat"},
        {"url": "page/examples/b.webp", "name": "B"},
    ]
    assert client.get("/page/examples/b.webp").status_code == 200
    assert client.get("/page/examples/scenes.json").status_code == 404


def test_a_models_own_words_about_itself_are_shown(
    client_for: Callable[..., TestClient], tmp_path: Path
) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "about.txt").write_text("It knows cats.\n")
    assert client_for().get("/page/settings").json()["about"] == "It knows cats."


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/styles",
        "/page/absent.js",
        "/page/../routes.py",
        "/page/%2e%2e/routes.py",
        "/page/examples/%2e%2e/%2e%2e/model_index.json",
    ],
)
def test_no_other_file_is_served(client_for: Callable[..., TestClient], path: str) -> None:
    assert client_for().get(path).status_code == 404
