"""Convert rows of files to the inputs of a servable's signatures."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from adapters_tf.data.examples import Rows
from adapters_tf.errors import DataError

# U+001E, ASCII's record separator. It joins the second and further texts of a row,
# which a signature takes as one string.
SEPARATOR = "\x1e"


class Row(NamedTuple):
    """A row of a file.

    Attributes:
        texts: One or more texts; a question and its context; or a sentence's words
            joined by spaces as one text.
        row_id: The question's id; `None` for other tasks.
    """

    texts: tuple[str, ...]
    row_id: str | None = None


def rows_of(rows: Rows) -> Iterator[Row]:
    """Yield the rows of any kind of task, in their order."""
    row_ids = rows.row_ids or itertools.repeat(None)
    yield from map(Row, rows.iterate_texts(), row_ids)


def signature_inputs(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Arrange the texts of rows by the signature's input names.

    Args:
        rows: One or more rows of one task.

    Returns:
        `text`, and for two or more texts per row also `text_pair`: all texts but the
        first, joined by `SEPARATOR`.
    """
    inputs = {"text": [row.texts[0] for row in rows]}
    if len(rows[0].texts) > 1:
        inputs["text_pair"] = [SEPARATOR.join(row.texts[1:]) for row in rows]
    return inputs


def check_separator(rows: Iterator[Row], path: str) -> None:
    """Reject rows whose second or further texts contain the separator.

    A servable would split such a text in two.

    Args:
        rows: The rows of a file.
        path: The file, for the message.

    Raises:
        DataError: if there is such a row; names the first.
    """
    for number, row in enumerate(rows, start=1):
        if len(row.texts) > 2 and any(SEPARATOR in text for text in row.texts[1:]):
            raise DataError(
                "With three or more texts a row, all texts but the first must be "
                "without U+001E, the record separator, which a servable puts between "
                f"them. Received: {path}, row {number}, with one. Replace it with a "
                "space, or predict with adapters-tf-predict"
            )
