"""Names and sentences in Markdown and in HTML, whatever characters are in them."""

import html as html_module
import re

# An underscore inside a word, as in cf_airline, is not emphasis.
_SPECIAL = re.compile(r"([\\`*~\[\]|<>]|(?<!\w)_|_(?!\w))")


def html(text: str) -> str:
    """`text` as HTML shows it."""
    return html_module.escape(" ".join(text.split()))


def markdown(text: str) -> str:
    """`text` as Markdown shows it, also in a cell of a table."""
    text = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    return text.replace("&", "&amp;")
