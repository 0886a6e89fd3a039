"""A report as a list of sections, and its two forms."""

import base64
import dataclasses
import re
from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from adapters_tf.report.markup import html, markdown
from adapters_tf.report.table import Table


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure of a report.

    Attributes:
        name: Name of its files, without the suffix.
        caption: What it shows, in sentences.
        alt: The same in a few words, for those who do not see it.
        draw: Makes the figure.
    """

    name: str
    caption: str
    alt: str
    draw: Callable[[], Figure]


Block = str | Table | Picture


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading with its paragraphs, tables and figures, in order."""

    title: str
    blocks: tuple[Block, ...]


@dataclasses.dataclass(frozen=True)
class Document:
    """A whole report; sections without blocks are left out."""

    title: str
    sections: tuple[Section, ...]

    @property
    def blocks(self) -> list[Block]:
        """The blocks of all sections."""
        return [block for section in self.sections for block in section.blocks]

    @property
    def tables(self) -> list[Table]:
        """All tables, also those that are files only."""
        return [block for block in self.blocks if isinstance(block, Table)]

    @property
    def pictures(self) -> list[Picture]:
        """All figures."""
        return [block for block in self.blocks if isinstance(block, Picture)]

    def to_markdown(self) -> str:
        """The report with links to `figures/` and `tables/` beside it."""
        parts = [f"# {markdown(self.title)}"]
        counts = _Counts()
        for section in self._filled():
            parts.append(f"## {markdown(section.title)}")
            for block in section.blocks:
                if isinstance(block, str):
                    parts.append(markdown(block))
                elif isinstance(block, Picture):
                    path = f"figures/{block.name}.png"
                    parts.append(f"![{markdown(block.alt)}]({path})")
                    number = counts.next("Figure")
                    parts.append(f"**Figure {number}.** {markdown(block.caption)}")
                elif block.shown:
                    number = counts.next("Table")
                    parts.append(f"**Table {number}.** {markdown(block.caption)}")
                    parts.append(block.to_markdown())
                else:
                    path = f"tables/{block.name}.csv"
                    parts.append(f"{markdown(block.caption)} [{path}]({path})")
        return "\n\n".join(parts) + "\n"

    def to_html(self, images: Mapping[str, bytes]) -> str:
        """The report as one page that needs no other file.

        Args:
            images: The SVG file of each figure by its name.
        """
        parts, links = [], []
        counts = _Counts()
        for section in self._filled():
            anchor = re.sub(r"\W+", "-", section.title.lower()).strip("-")
            links.append(f'<a href="#{anchor}">{html(section.title)}</a>')
            parts.append(f'<h2 id="{anchor}">{html(section.title)}</h2>')
            for block in section.blocks:
                if isinstance(block, str):
                    parts.append(f"<p>{html(block)}</p>")
                elif isinstance(block, Picture):
                    data = base64.b64encode(images[block.name]).decode("ascii")
                    number = counts.next("Figure")
                    parts.append(
                        f'<figure><img alt="{html(block.alt)}" '
                        f'src="data:image/svg+xml;base64,{data}">\n<figcaption>'
                        f"<b>Figure {number}.</b> {html(block.caption)}"
                        "</figcaption></figure>"
                    )
                elif block.shown:
                    parts.append(block.to_html(counts.next("Table")))
                else:
                    parts.append(
                        f"<p>{html(block.caption)} "
                        f"<code>tables/{html(block.name)}.csv</code></p>"
                    )
        return _PAGE.format(
            title=html(self.title), links="\n".join(links), body="\n".join(parts)
        )

    def _filled(self) -> list[Section]:
        return [section for section in self.sections if section.blocks]


class _Counts:
    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def next(self, kind: str) -> int:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return self._counts[kind]


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
h1, h2 {{ line-height: 1.2; }}
h2 {{ margin-top: 2.5rem; }}
nav a {{ margin-right: 1rem; white-space: nowrap; }}
figure {{ margin: 1.5rem 0; }}
figure.table {{ overflow-x: auto; }}
figcaption {{ font-size: 14px; color: #333; max-width: 50rem; }}
.table figcaption {{ padding-bottom: .5rem; }}
table {{ border-collapse: collapse; font-size: 14px;
  font-variant-numeric: tabular-nums;
  border-top: 2px solid #1a1a1a; border-bottom: 2px solid #1a1a1a; }}
th, td {{ padding: .2rem .7rem; text-align: right; vertical-align: bottom; }}
td {{ white-space: nowrap; vertical-align: top; }}
th.text, td.text {{ text-align: left; }}
thead th {{ border-bottom: 1px solid #1a1a1a; }}
tr.apart td {{ border-top: 1px solid #1a1a1a; font-weight: bold; }}
img {{ max-width: 100%; height: auto; }}
@media print {{
  @page {{ size: A4; margin: 15mm; }}
  body {{ font-size: 10pt; margin: 0; padding: 0; max-width: none; }}
  nav {{ display: none; }}
  h2, .table figcaption {{ break-after: avoid; }}
  figure:not(.table), tr {{ break-inside: avoid; }}
  figure.table {{ overflow: visible; }}
  figcaption {{ font-size: 8pt; }}
  table {{ font-size: 7pt; }}
  th, td {{ padding: .1rem .2rem; }}
}}
</style>
</head>
<body>
<h1>{title}</h1>
<nav>
{links}
</nav>
{body}
</body>
</html>
"""
