"""A package index on this machine, for the tests of the downloads."""

import hashlib
import http.server
import io
import os
import tarfile
import threading
import time
import zipfile

import pytest

from adapters_tf.data import demo

_PIP_VARIABLES = ("PIP_CERT", "PIP_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class LocalIndex:
    """A server on localhost; `pages` maps a path to its answer.

    An answer is `bytes`, or a dict with `body` and optionally `status`, `type`,
    `length` (the Content-Length to claim) and `pause` (seconds before the second
    half of the body). `requests` lists what was asked: path and headers.
    """

    def __init__(self):
        self.pages = {}
        self.requests = []
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                index.requests.append((self.path, dict(self.headers)))
                page = index.pages.get(self.path, {"body": b"", "status": 404})
                # A list is used up, one answer for each request.
                page = page.pop(0) if isinstance(page, list) else page
                page = {"body": page} if isinstance(page, bytes) else page
                body = page["body"]
                self.send_response(page.get("status", 200))
                self.send_header("Content-Type", page.get("type", "text/html"))
                self.send_header("Content-Length", page.get("length", len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body[: len(body) // 2])
                    time.sleep(page.get("pause", 0))
                    self.wfile.write(body[len(body) // 2 :])
                except OSError:
                    pass  # The other side was killed, as a test wants.

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/simple"
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        ).start()

    def offer(self, project, filename, answer):
        """Lists one file, with that answer, on the page of a project."""
        link = f'<a href="/files/{filename}#sha256=0">{filename}</a>'
        self.pages[f"/simple/{project}/"] = link.encode()
        self.pages[f"/files/{filename}"] = answer

    def paths(self):
        return [path for path, _ in self.requests]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def pip_environment(monkeypatch):
    """No setting of this machine's pip and no proxy comes into the test."""
    for name in (*_PIP_VARIABLES, "PIP_INDEX_URL", *_PROXIES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(demo, "_RETRY", demo._RETRY.new(backoff_factor=0))


@pytest.fixture
def index(pip_environment, monkeypatch):
    """A `LocalIndex` that is the package index of this process."""
    server = LocalIndex()
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    # Starting pip in every test would take most of their time.
    monkeypatch.setattr(demo, "_pip_files", dict)
    yield server
    server.close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, which does not exist yet."""
    path = tmp_path / "cache"
    monkeypatch.setenv("ADAPTERS_TF_CACHE_DIR", str(path))
    return path


@pytest.fixture
def make_wheel():
    """A function from `{path in the archive: content}` to the bytes of a zip."""

    def make(members):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return buffer.getvalue()

    return make


@pytest.fixture
def make_sdist():
    """The same for a tar.gz; a content of type `str` makes a link to there."""

    def make(members):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                if isinstance(content, str):
                    info.type, info.linkname = tarfile.SYMTYPE, content
                    archive.addfile(info)
                else:
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        return buffer.getvalue()

    return make


@pytest.fixture
def sha256():
    return lambda content: hashlib.sha256(content).hexdigest()
