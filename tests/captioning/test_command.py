"""Captions of a folder, from a stand-in service."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from service.captioning.caption_file import CaptionFile
from service.cli import main
from service.errors import CaptioningError
from tests.fake_openai import fake_openai
from tests.pictures import encoded, picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for name in ("a.png", "b.JPG", "below/c.webp"):
        (folder / name).write_bytes(encoded(picture()))
    (folder / "notes.txt").write_text("no image")
    return folder


def answer(_: dict[str, Any]) -> tuple[str, int, str]:
    return "A picture.", 3, "stop"


def caption(folder: Path, out: Path, url: str, *options: str) -> None:
    main(["caption", str(folder), "--out", str(out), "--url", url, *options])


def read(out: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    found = {line["image"]: line for line in lines}
    assert len(found) == len(lines), "an image stands twice"
    return found


def test_every_image_gets_a_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "captions.jsonl"
    with fake_openai(answer) as url:
        caption(folder, out, url)
    captions = read(out)
    assert sorted(captions) == ["a.png", "b.JPG", "below/c.webp"]
    assert captions["a.png"]["caption"] == "A picture."
    assert captions["a.png"]["tokens"] == 3
    assert "3 captions written, 3 of 3 images" in capsys.readouterr().out


def test_options_reach_the_request(folder: Path, tmp_path: Path) -> None:
    bodies: list[dict[str, Any]] = []

    def note(body: dict[str, Any]) -> tuple[str, int, str]:
        bodies.append(body)
        return answer(body)

    options = ("--prompt", "What is it?", "--max-tokens", "7", "--temperature", "0.5")
    with fake_openai(note) as url:
        caption(folder, tmp_path / "out", url, *options)
    image, text = bodies[0]["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/")
    assert text["text"] == "What is it?"
    assert (bodies[0]["max_tokens"], bodies[0]["temperature"]) == (7, 0.5)


def test_a_second_run_asks_only_for_the_rest(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "captions.jsonl"
    with fake_openai(answer) as url:
        caption(folder, out, url)
        whole = out.read_bytes()
        out.write_bytes(whole[:-5])  # killed while it wrote the last line
        (folder / "d.png").write_bytes(encoded(picture()))
    asked: list[Any] = []

    def note(body: dict[str, Any]) -> tuple[str, int, str]:
        asked.append(body)
        return answer(body)

    with fake_openai(note) as url:
        caption(folder, out, url)
    assert len(asked) == 2
    assert len(read(out)) == 4
    caption(folder, out, "http://127.0.0.1:9")  # nothing is left to ask: no service is needed


def test_a_run_that_is_killed_is_continued(folder: Path, tmp_path: Path) -> None:
    for number in range(20):
        (folder / f"{number}.png").write_bytes(encoded(picture()))
    out, asked, go = tmp_path / "captions.jsonl", [], threading.Event()

    def slow(body: dict[str, Any]) -> tuple[str, int, str]:
        asked.append(body)
        if len(asked) > 10:
            go.wait(30)
        return answer(body)

    with fake_openai(slow) as url:
        line = [sys.executable, "-m", "service", "caption", str(folder), "--out", str(out)]
        process = subprocess.Popen([*line, "--url", url], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not out.exists() or out.read_bytes().count(b"\n") < 8:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()
        go.set()
        kept = out.read_bytes()
        caption(folder, out, url)
    assert out.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    assert len(read(out)) == 23, "an image was asked about twice"


def test_bad_images_are_named_and_counted(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"no image")
    out = tmp_path / "captions.jsonl"

    def refuse(body: dict[str, Any]) -> tuple[str, int, str]:
        if "bm8gaW1hZ2U" in body["messages"][0]["content"][0]["image_url"]["url"]:
            raise ValueError("The bytes are not an image.")
        return answer(body)

    with fake_openai(refuse) as url, pytest.raises(SystemExit) as ended:
        caption(folder, out, url)
    message = str(ended.value)
    assert "Images without a caption: 1." in message
    assert "broken.png: " in message
    assert "not an image" in message
    assert len(read(out)) == 3


def test_other_files_are_not_touched(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for content in (b"precious", b'{"id": 1}\n', b"{}\n"):
        out.write_bytes(content)
        with pytest.raises(SystemExit, match="out"):
            caption(folder, out, "http://127.0.0.1:9")
        assert out.read_bytes() == content
    out.unlink()
    with fake_openai(answer) as url:
        caption(folder, out, url)
        with pytest.raises(SystemExit, match="another prompt"):
            caption(folder, out, url, "--prompt", "Is it?")
    with CaptionFile(tmp_path / "open", "x"), pytest.raises(CaptioningError, match="Another"):
        CaptionFile(tmp_path / "open", "x")


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="has no images"):
        caption(tmp_path, tmp_path / "out", "http://127.0.0.1:9")
    with pytest.raises(SystemExit, match="is not a folder"):
        caption(tmp_path / "none", tmp_path / "out", "http://127.0.0.1:9")
