"""Rows of files as a task's signature takes them."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from adapters_tf.data.examples import Rows
from adapters_tf.errors import DataError
from adapters_tf.export.record_separator import SEPARATOR


class Row(NamedTuple):
    """A row of a file.

    Attributes:
        texts: Its texts, one or more; a question and its context; a sentence's words,
            with a space between two of them, as one text.
        row_id: The question's id, `None` for other tasks.
    """

    texts: tuple[str, ...]
    row_id: str | None = None


def rows_of(rows: Rows) -> Iterator[Row]:
    """Each row of any kind, in their order."""
    row_ids = rows.row_ids or itertools.repeat(None)
    yield from map(Row, rows.iterate_texts(), row_ids)


def signature_inputs(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The texts of rows by the names of the signature's inputs.

    Args:
        rows: One or more rows of one task.

    Returns:
        `text`, and for two and more texts a row `text_pair`: all texts but the first
        with `SEPARATOR` between them.
    """
    inputs = {"text": [row.texts[0] for row in rows]}
    if len(rows[0].texts) > 1:
        inputs["text_pair"] = [SEPARATOR.join(row.texts[1:]) for row in rows]
    return inputs


def check_separator(rows: Iterator[Row], path: str) -> None:
    """Refuse rows whose second and further texts a servable would cut apart.

    Args:
        rows: The rows of a file.
        path: The file, for the message.

    Raises:
        DataError: naming the first row with U+001E in one of these texts.
    """
    for number, row in enumerate(rows, start=1):
        if len(row.texts) > 2 and any(SEPARATOR in text for text in row.texts[1:]):
            raise DataError(
                "Of three and more texts a row, all but the first must be without "
                "U+001E, the record separator, which stands between them in a "
                f"servable. Received: {path}, row {number}, with one. Replace it with "
                "a space, or predict with adapters-tf-predict"
            )
