"""API keys: the file, the layer, the command that adds one."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from service.api import api_keys as keys
from service.api.api_keys import GivenKeys, KeyFile, KeySource, read_keys
from service.api.keys_command import add_key, remove_key, set_limits
from service.api.middleware.require_key import RequireKey
from service.cli import main
from service.errors import SettingsError
from service.request_context import RequestContext, current_request, enter_request
from service.usage.amounts import KeyLimits


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.txt"


async def who(request: Request) -> JSONResponse:
    return JSONResponse({"tenant": current_request().tenant})


def ask(*keys: KeyFile | GivenKeys, path: str = "/v1/models", **headers: str) -> httpx.Response:
    app = Starlette(routes=[Route(path, who, methods=["GET", "OPTIONS"])])

    async def run() -> httpx.Response:
        enter_request(RequestContext())
        transport = httpx.ASGITransport(RequireKey(app, keys))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            method = headers.pop("method", "GET")
            return await http.request(method, path, headers=headers)

    return asyncio.run(run())


def name_of(source: KeySource, key: str) -> str | None:
    found = source.find(key)
    return found.name if found else None


def test_a_known_key_is_accepted_and_names_the_tenant(file: Path) -> None:
    alice, bob = add_key("alice", file), add_key("bob", file)
    key_file = KeyFile(file)
    named = ask(key_file, authorization=f"Bearer {alice}")
    assert named.json() == {"tenant": "alice"}
    assert ask(key_file, **{"x-api-key": bob}).json()["tenant"] == "bob"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic {key}"},
        {"authorization": "{key}"},
        {"x-api-key": "{key}x"},
    ],
)
def test_other_keys_are_refused(file: Path, headers: dict[str, str]) -> None:
    key = add_key("alice", file)
    sent = {name: value.format(key=key) for name, value in headers.items()}
    response = ask(KeyFile(file), **sent)
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "AuthenticationError"


def test_the_hash_in_the_file_is_not_a_key(file: Path) -> None:
    add_key("alice", file)
    digest = file.read_text().split()[1]
    assert ask(KeyFile(file), authorization=f"Bearer {digest}").status_code == 401


def test_probes_page_and_preflight_need_no_key(file: Path) -> None:
    add_key("alice", file)
    key_file = KeyFile(file)
    assert ask(key_file, path="/docs").status_code == 200
    assert ask(key_file, method="OPTIONS").status_code == 200
    assert ask(key_file, path="/tokenize").status_code == 401


@pytest.mark.parametrize("path", ["/v1/models", "/tokenize"])
def test_a_path_prefix_does_not_bypass_the_key(file: Path, path: str) -> None:
    """A gateway may keep the prefix of ``--root-path``, or a client may add one."""
    add_key("alice", file)
    app = FastAPI()
    app.root_path = "/prefix"
    app.add_route(path, who)

    async def status(path: str) -> int:
        transport = httpx.ASGITransport(RequireKey(app, [KeyFile(file)]))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            return (await http.get(path)).status_code

    assert asyncio.run(status(path)) == 401
    assert asyncio.run(status(f"/prefix{path}")) == 401


def test_the_file_is_read_again_when_it_changes(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "RECHECK_SECONDS", 0.0)
    alice = add_key("alice", file)
    key_file = KeyFile(file)
    bob = add_key("bob", file)
    assert name_of(key_file, bob) == "bob"

    replaced = file.with_suffix(".new")
    carol = add_key("carol", replaced)
    replaced.replace(file)
    assert name_of(key_file, carol) == "carol"
    assert name_of(key_file, alice) is None

    file.write_text("this is no key file")
    assert name_of(key_file, carol) == "carol"
    file.unlink()
    assert name_of(key_file, carol) == "carol"


def test_a_file_that_is_wrong_at_the_start_is_refused(file: Path) -> None:
    with pytest.raises(SettingsError, match=str(file)):
        KeyFile(file)
    file.write_text("# a comment\n\nalice notahash\n")
    with pytest.raises(SettingsError, match="line 3"):
        read_keys(file)


def test_keys_of_the_command_line_work_like_those_of_a_file(file: Path) -> None:
    alice = add_key("alice", file)
    both = KeyFile(file), GivenKeys(["given", "also"])
    assert ask(*both, authorization=f"Bearer {alice}").json()["tenant"] == "alice"
    assert ask(*both, authorization="Bearer given").json()["tenant"] == "default"
    assert ask(*both, path="/tokenize", **{"x-api-key": "also"}).json()["tenant"] == "default"
    refused = ask(*both, path="/tokenize")
    assert refused.status_code == 401
    assert refused.json()["error"]["type"] == "AuthenticationError"


def test_a_key_is_added_to_a_last_line_without_its_end(file: Path) -> None:
    add_key("alice", file)
    file.write_text(file.read_text().rstrip("\n"))
    add_key("bob", file)
    assert [key.name for key in read_keys(file)] == ["alice", "bob"]


def test_adding_keys(file: Path) -> None:
    key = add_key("alice", file)
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(SettingsError, match="alice"):
        add_key("alice", file)
    with pytest.raises(SettingsError, match="name"):
        add_key("al ice", file)


LIMITS = KeyLimits(60, 1000, 4, frozenset({"a", "b/c"}))


def test_limits_follow_the_hash(file: Path) -> None:
    alice = add_key("alice", file, LIMITS)
    assert (
        file.read_text()
        .rstrip()
        .endswith(
            "requests_per_minute=60 tokens_per_minute=1000 concurrent_requests=4 models=a,b/c"
        )
    )
    found = KeyFile(file).find(alice)
    assert found is not None
    assert found.limits == LIMITS


@pytest.mark.parametrize(
    "word",
    [
        *("tokens_per_minute=0", "tokens_per_minute=-1", "tokens_per_minute=1.5"),
        *("tokens_per_minute=", "tokens_per_minute", "tokens=5", "models="),
        "tokens_per_minute=5 tokens_per_minute=6",
    ],
)
def test_a_wrong_limit_names_its_line(file: Path, word: str) -> None:
    add_key("alice", file)
    file.write_text(f"{file.read_text().rstrip()} {word}\n")
    with pytest.raises(SettingsError, match="line 1"):
        read_keys(file)


def test_removing_a_key_keeps_the_other_lines(file: Path) -> None:
    add_key("alice", file)
    bob = file.read_text() + "# of the other team\n\n"
    file.write_text(bob)
    file.chmod(0o640)
    add_key("carol", file, LIMITS)
    remove_key("carol", file)
    assert file.read_text() == bob
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(file.parent.iterdir()) == [file]
    with pytest.raises(SettingsError, match="carol"):
        remove_key("carol", file)


def test_limits_are_replaced_and_the_key_stays(file: Path) -> None:
    alice = add_key("alice", file, LIMITS)
    set_limits("alice", file, KeyLimits(tokens_per_minute=7))
    found = KeyFile(file).find(alice)
    assert found is not None
    assert found.limits == KeyLimits(tokens_per_minute=7)


def test_the_command_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "add", "alice", str(file), "--tokens-per-minute", "9", "--models", "a,b"])
    main(["keys", "add", "bob", str(file)])
    assert KeyFile(file).find(capsys.readouterr().out.split()[0]) is not None
    main(["keys", "limit", "bob", str(file), "--requests-per-minute", "5"])
    main(["keys", "list", str(file)])
    listed = "alice tokens_per_minute=9 models=a,b\nbob requests_per_minute=5\n"
    assert capsys.readouterr().out == listed
    main(["keys", "remove", "alice", str(file)])
    main(["keys", "list", str(file)])
    assert capsys.readouterr().out == "bob requests_per_minute=5\n"
    with pytest.raises(SystemExit, match="whole number"):
        main(["keys", "limit", "bob", str(file), "--tokens-per-minute", "many"])
    with pytest.raises(SystemExit, match="models"):
        main(["keys", "limit", "bob", str(file), "--models", "a, b"])
