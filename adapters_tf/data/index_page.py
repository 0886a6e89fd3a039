"""Reads a project's page of a package index, in either of its two formats."""

import html.parser
import json
from urllib.parse import unquote, urldefrag, urljoin, urlsplit


class _Links(html.parser.HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.base: str | None = None
        self.hrefs: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.hrefs.append(href)
        elif tag == "base" and href and self.base is None:
            self.base = href


def files(page: bytes, content_type: str, url: str) -> dict[str, str]:
    """The files a project's page offers.

    Args:
        page: The page.
        content_type: Its media type; anything that is no JSON is read as HTML.
        url: Where it came from: links are relative to this.

    Returns:
        The absolute address of each file, by the file's name.

    Raises:
        ValueError: The page is no JSON of the form that PEP 691 states.
    """
    text = page.decode("utf-8", "replace")
    if content_type.endswith("json"):
        try:
            links = {f["filename"]: f["url"] for f in json.loads(text)["files"]}
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a project page: {error!r}") from error
    else:
        parsed = _Links(text)
        url = urljoin(url, parsed.base or "")
        links = {_name(href): href for href in parsed.hrefs}
    return {name: urldefrag(urljoin(url, link)).url for name, link in links.items()}


def _name(href: str) -> str:
    return unquote(urlsplit(href).path).rpartition("/")[2]
