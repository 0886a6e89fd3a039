"""A table, as Markdown, HTML and CSV."""

import csv
import dataclasses
import io

from adapters_tf.report.estimate import Estimate
from adapters_tf.report.markup import html, markdown

MISSING = "–"


@dataclasses.dataclass(frozen=True)
class Number:
    """A number whose text is not its plain digits.

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
        rows: As many cells a row as there are columns. An `Estimate` is shown in
            percent, and takes a second column of the CSV file for its error. `None` is
            a cell without a value.
        digits: Decimals of the estimates.
        last_row_apart: Whether the last row sums up the others.
        shown: Whether it is in the report itself, or only a CSV file.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    digits: int = 1
    last_row_apart: bool = False
    shown: bool = True

    def filled(self) -> "Table":
        """The table without the columns that have no value in any row."""
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
        """Whether a column holds words, which are left-aligned."""
        cells = [row[column] for row in self.rows if row[column] is not None]
        return all(isinstance(cell, str) for cell in cells)

    def to_markdown(self) -> str:
        """Its lines; the last row, if apart, is bold."""
        rules = ["---" if self.is_text(i) else "---:" for i in range(len(self.columns))]
        lines = [[markdown(column) for column in self.columns], rules]
        for number, row in enumerate(self.rows, 1):
            cells = [markdown(self.text(cell)) for cell in row]
            if self.last_row_apart and number == len(self.rows):
                cells = [f"**{cell}**" if cell else "" for cell in cells]
            lines.append(cells)
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def to_html(self, number: int) -> str:
        """A `<table>` below its number and its caption."""
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
        """Plain numbers; estimates in percent, their errors in a column beside them."""
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
