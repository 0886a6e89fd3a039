"""Which package index pip would ask on this machine, and how."""

import ast
import dataclasses
import os
import ssl
import subprocess
import sys
from pathlib import Path

import certifi

from adapters_tf.errors import UserError

_DEFAULT_INDEX = "https://pypi.org/simple"


@dataclasses.dataclass(frozen=True)
class PipSettings:
    """The part of pip's configuration that matters for one download.

    Attributes:
        index_url: The index, possibly with a user and a password in it.
        cert: A file or folder of certificate authorities, or `None`.
        proxy: A proxy for http and https, or `None` for the system's setting.
    """

    index_url: str = _DEFAULT_INDEX
    cert: str | None = None
    proxy: str | None = None

    def ssl_context(self) -> ssl.SSLContext:
        """The context that trusts what pip would trust."""
        if self.cert is None:
            context = ssl.create_default_context()
            # Python from python.org on a Mac has no authorities of its own.
            context.load_verify_locations(certifi.where())
            return context
        try:
            if Path(self.cert).is_dir():
                return ssl.create_default_context(capath=self.cert)
            return ssl.create_default_context(cafile=self.cert)
        except OSError as error:
            raise UserError(
                "The certificates that PIP_CERT, pip's setting cert, "
                "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names must be a readable PEM "
                f"file or a folder. Received: {self.cert!r} ({error})"
            ) from error


def read() -> PipSettings:
    """The settings in the order of pip: environment, `install`, `global`."""
    config = _config_files()

    def setting(name: str) -> str | None:
        return (
            os.environ.get("PIP_" + name.upper().replace("-", "_"))
            or config.get("install." + name)
            or config.get("global." + name)
        )

    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return PipSettings(
        index_url=setting("index-url") or _DEFAULT_INDEX,
        cert=setting("cert") or bundle or None,
        proxy=setting("proxy") or None,
    )


def _config_files() -> dict[str, str]:
    """What pip reads from its files, as `{"global.index-url": ...}`.

    pip is asked, since it knows where its files lie; a machine without pip
    (uv's environments) has the environment variables alone.
    """
    # -P: a folder called pip in the working directory is not pip.
    command = [sys.executable, "-P", "-m", "pip", "config", "list"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return {}
    config = {}
    for line in result.stdout.splitlines():
        name, _, value = line.partition("=")
        try:
            config[name] = str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            continue
    return config
