"""A report as sections of text, tables and figures, in Markdown, HTML and CSV."""

import base64
import csv
import dataclasses
import html as html_module
import io
import itertools
import re
from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from adapters_tf.study.results import Estimate

# An underscore inside a word, as in cf_airline, is not emphasis.
_SPECIAL = re.compile(r"([\\`*~\[\]|<>]|(?<!\w)_|_(?!\w))")


def html(text: str) -> str:
    """`text` as HTML shows it."""
    return html_module.escape(" ".join(text.split()))


def markdown(text: str) -> str:
    """`text` as Markdown shows it, also in a cell of a table."""
    text = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    return text.replace("&", "&amp;")


_LONGEST = 80


class FileNames:
    """Makes names of files that are unique and valid on every file system."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def new(self, wanted: str) -> str:
        """`wanted` in ASCII characters, with a number if it is taken."""
        name = re.sub(r"[^\w.-]", "_", wanted, flags=re.ASCII)[:_LONGEST]
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        # Some file systems take A and a for the same name.
        free = next(
            candidate
            for candidate in itertools.chain([name], numbered)
            if candidate.lower() not in self._used
        )
        self._used.add(free.lower())
        return free


MISSING = "–"


@dataclasses.dataclass(frozen=True)
class Number:
    """A number with a text of its own.

    Attributes:
        value: For the CSV file.
        text: For readers.
    """

    value: float
    text: str


Cell = str | int | Number | Estimate | None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
        name: Name of its CSV file, without the suffix.
        caption: What it shows, in sentences.
        columns: Headings.
        rows: Rows of cells. An `Estimate` is shown in percent, and in the CSV file its
            error has a column of its own. `None` is an empty cell.
        digits: Decimals of the estimates.
        last_row_apart: Whether the last row sums up the others.
        shown: Whether the report shows the table, or only links to its CSV file.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    digits: int = 1
    last_row_apart: bool = False
    shown: bool = True

    def filled(self) -> "Table":
        """The table without its empty columns."""
        kept = [
            i
            for i in range(len(self.columns))
            if any(row[i] is not None for row in self.rows)
        ]
        return dataclasses.replace(
            self,
            columns=tuple(self.columns[i] for i in kept),
            rows=tuple(tuple(row[i] for i in kept) for row in self.rows),
        )

    def text(self, cell: Cell) -> str:
        """A cell as readers see it."""
        if cell is None:
            return MISSING
        if isinstance(cell, Estimate):
            return cell.percent(self.digits)
        if isinstance(cell, Number):
            return cell.text
        return f"{cell:,}" if isinstance(cell, int) else cell

    def is_text(self, column: int) -> bool:
        """Whether a column holds words, which align to the left."""
        cells = [row[column] for row in self.rows if row[column] is not None]
        return all(isinstance(cell, str) for cell in cells)

    def to_markdown(self) -> str:
        """The table in Markdown; a last row that is apart is bold."""
        rules = ["---" if self.is_text(i) else "---:" for i in range(len(self.columns))]
        lines = [[markdown(column) for column in self.columns], rules]
        for number, row in enumerate(self.rows, 1):
            cells = [markdown(self.text(cell)) for cell in row]
            if self.last_row_apart and number == len(self.rows):
                cells = [f"**{cell}**" if cell else "" for cell in cells]
            lines.append(cells)
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def to_html(self, number: int) -> str:
        """A `<table>` with its number and caption above."""
        columns = range(len(self.columns))
        classes = [' class="text"' if self.is_text(i) else "" for i in columns]

        def cells(tag: str, texts: list[str]) -> str:
            return "".join(
                f"<{tag}{name}>{html(text)}</{tag}>"
                for text, name in zip(texts, classes, strict=True)
            )

        head = cells("th", list(self.columns))
        body = [cells("td", [self.text(cell) for cell in row]) for row in self.rows]
        last = ' class="apart"' if self.last_row_apart else ""
        rows = [f"<tr>{row}</tr>" for row in body[:-1]]
        rows += [f"<tr{last}>{row}</tr>" for row in body[-1:]]
        lines = "\n".join(rows)
        return (
            f'<figure class="table"><figcaption><b>Table {number}.</b> '
            f"{html(self.caption)}</figcaption>\n<table>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n"
            "</table></figure>"
        )

    def to_csv(self) -> str:
        """The table as CSV: estimates in percent, their errors in columns beside."""
        errors = {
            i
            for i in range(len(self.columns))
            if any(
                isinstance(cell, Estimate) and cell.sem is not None
                for cell in (row[i] for row in self.rows)
            )
        }
        header: list[str] = []
        for i, column in enumerate(self.columns):
            header += [column, f"{column}: s.e.m."] if i in errors else [column]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        for row in self.rows:
            values: list[object] = []
            for i, cell in enumerate(row):
                error = None
                if isinstance(cell, Estimate):
                    error = None if cell.sem is None else round(100 * cell.sem, 6)
                    values.append(round(100 * cell.mean, 6))
                else:
                    values.append(cell.value if isinstance(cell, Number) else cell)
                if i in errors:
                    values.append(error)
            writer.writerow(values)
        return text.getvalue()


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure of a report.

    Attributes:
        name: Name of its files, without the suffix.
        caption: What it shows, in sentences.
        alt: A short text for readers who do not see the figure.
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
        """All tables, including those that are only CSV files."""
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
        """The report as one self-contained page.

        Args:
            images: The SVG file of each figure, by the figure's name.
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
