"""Rows of files that hold one JSON object a line."""

import difflib
import io
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from adapters_tf.errors import DataError


def read_rows(
    text: str, columns: Sequence[str], path: str, lists: Collection[str | None] = ()
) -> list[tuple[int, list[Any]]]:
    """The values under the keys `columns` of every object, with its line.

    Strings stay as they are, numbers and Booleans become their JSON text,
    `null` an empty string. Blank lines are skipped.

    Args:
        text: The content of the file.
        columns: The keys to read, each of which every object must have.
        path: The file, for messages.
        lists: Those of `columns` whose value may be a list of strings and numbers,
            which becomes a list of strings.

    Returns:
        One `(line number from 1, values)` for each object.

    Raises:
        DataError: A line is not a JSON object with these keys, or a value is
            a list or an object where none may be.
    """
    # newline=None ends lines at CR, LF and CR LF, none of which JSON strings hold.
    return list(iterate_rows(io.StringIO(text, newline=None), columns, path, lists))


def iterate_rows(
    lines: Iterable[str],
    columns: Sequence[str],
    path: str,
    lists: Collection[str | None] = (),
) -> Iterator[tuple[int, list[Any]]]:
    """The rows one by one, of the file's lines; see `read_rows`."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path}, line {number}"
            record = _parse(line, where)
            values = [_value(record, name, where, name in lists) for name in columns]
            yield number, values


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        if not line.lstrip().startswith("["):
            raise DataError(
                f"Every line must hold one JSON object. Received: {where}: {error}"
            ) from None
        record = []
    if isinstance(record, dict):
        return record
    hint = ""
    if isinstance(record, list):
        hint = ". Turn a JSON array into lines with: jq -c '.[]' in.json > out.jsonl"
    raise DataError(
        f"Every line must hold one JSON object. Received: {where}, which begins "
        f"{line.strip()[:40]!r}{hint}"
    )


def _value(record: dict[str, Any], name: str, where: str, may_be_list: bool) -> Any:
    if name not in record:
        close = difflib.get_close_matches(name, record, n=1)
        hint = f". Did you mean {close[0]!r}?" if close else ""
        raise DataError(
            f"Every object must have the key {name!r}. Received: {where}, whose keys "
            f"are {list(record)}{hint}"
        )
    value = record[name]
    if may_be_list and isinstance(value, list):
        return [_text(part, name, where) for part in value]
    return _text(value, name, where)


def _text(value: Any, name: str, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if not isinstance(value, str):
        raise DataError(
            f"The value under {name!r} must be a string or a number. Received: "
            f"{where}, a JSON {'array' if isinstance(value, list) else 'object'}"
            + ". A list of labels needs --label_kind=multi"
            * isinstance(value, list)
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        # An escape such as \ud800 alone: TensorFlow can hold UTF-8 only.
        raise DataError(
            f"The value under {name!r} must be valid Unicode. Received: {where}, which "
            "holds one half of a surrogate pair"
        ) from None
    return value
