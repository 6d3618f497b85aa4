"""A Hugging Face hub on this machine, for the real client: it serves folders as repositories."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "c0ffee" + "0" * 34


class FakeHub:
    """The repositories, and a record of downloads.

    Attributes:
        repositories: Folders by ``owner/name``.
        downloaded: Repository and file of every request for a file's content.
    """

    def __init__(self, repositories: Mapping[str, Path]) -> None:
        self.repositories = repositories
        self.downloaded: list[tuple[str, str]] = []
        self.url = ""

    def list_downloads(self, repository: str) -> set[str]:
        """Return the downloaded files of a repository."""
        return {file for other, file in self.downloaded if other == repository}


@contextmanager
def serve_hub(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve ``hub`` on a free port until the block ends; set its ``url``."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, body: bool) -> None:
            parts = self.path.split("?")[0].strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                self._describe("/".join(parts[2:4]), as_tree="tree" in parts)
            elif parts[2:3] == ["resolve"]:  # OWNER/NAME/resolve/REVISION/FILE
                self._file("/".join(parts[:2]), "/".join(parts[4:]), body)
            else:
                self._send(404, b"", {})

        def _describe(self, repository: str, as_tree: bool) -> None:
            folder = hub.repositories.get(repository)
            if folder is None:
                self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
                return
            names = sorted(file.name for file in folder.iterdir())
            facts: object = {
                "id": repository,
                "sha": COMMIT,
                "siblings": [{"rfilename": name} for name in names],
            }
            if as_tree:
                facts = [{"type": "file", "path": name, "size": 1, "oid": "0"} for name in names]
            self._send(200, json.dumps(facts).encode(), {"Content-Type": "application/json"})

        def _file(self, repository: str, name: str, body: bool) -> None:
            file = hub.repositories[repository] / name
            if not file.is_file():
                self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
                return
            if body:
                hub.downloaded.append((repository, name))
            content = file.read_bytes()
            etag = hashlib.sha256(content).hexdigest()
            self._send(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'}, body)

        def _send(
            self, status: int, content: bytes, headers: Mapping[str, str], body: bool = True
        ) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
