"""Rows of a file some at a time against all of them at once."""

import sys
import tracemalloc

import pytest

from adapters_tf.data.files import FileFormat, read_columns
from adapters_tf.data.row_stream import RowStream
from adapters_tf.errors import DataError

TWO = FileFormat(("a", "b"))
FILES = {
    "plain.csv": "a,x,b\n1,2,3\n4,5,6\n7,8,9\n",
    "quoted.csv": 'a,b\n"one, two","three\n\nfour"\n5,6\n"7 ""8""",9',
    "crlf.csv": "a,b\r\n1,2\r\n\r\n3,4\r\n\r\n\r\n",
    "cr.csv": "a,b\r1,2\r3,4\r5,6\r",
    "blank ends.csv": "\n\r\na,b\n1,2\n\n\n",
    "marked.csv": "\ufeffa,b\nä,ß\n",
    "tabs.tsv": 'a\tb\n"quoted" half\t2\n3\t4\n',
    "empty texts.csv": "a,b\n1,2\n3,\n ,4\n,\n",
    "empty texts.tsv": "a\tb\n1\t\n\t\n",
    "empty texts.jsonl": '{"a": "", "b": " "}\n{"a": "x", "b": ""}\n',
    "lines.jsonl": '{"a": "x", "b": 1}\n\n{"a": "z", "b": true, "c": []}\r\n',
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_the_same_rows(tmp_path, name, size):
    path = tmp_path / name
    path.write_bytes(FILES[name].encode())
    table = read_columns(path, TWO)
    stream = RowStream(path, TWO)
    assert len(stream) == len(table.lines)
    for start in range(len(stream) + 1):
        windows = list(stream.windows(size, start))
        assert all(len(window) == size for window in windows[:-1])
        for column, whole in enumerate(table.texts):
            found = [text for window in windows for text in window.texts[column]]
            assert found == whole[start:]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["", "-le", "-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_same_rows_of_wide_encodings(tmp_path, encoding, order, mark):
    """With a mark in either byte order, and without one in this machine's."""
    path, native = tmp_path / "rows.csv", f"-{sys.byteorder[0]}e"
    format = FileFormat(("a", "b"), encoding=encoding)
    path.write_bytes(f"{mark}a,b\nä,ß\n".encode(encoding + (order or native)))
    if order in ("", native) or mark:
        (window,) = RowStream(path, format).windows(9)
        assert window.texts == read_columns(path, format).texts == (["ä"], ["ß"])
    else:
        with pytest.raises(DataError) as whole:
            read_columns(path, format)
        with pytest.raises(DataError) as streamed:
            RowStream(path, format)
        assert str(streamed.value) == str(whole.value)


BAD = {
    "width.csv": (b"a,b\n1,2\n3,4,5\n", "line 3, which has 3"),
    "null.jsonl": (b'{"a": "", "b": 2}\n{"a": 1, "b": null}\n', "'b'.* line 2, null"),
    "no rows.csv": (b"a,b\n", "must hold rows below its header"),
    "empty.csv": (b"", "Received the empty file"),
    "blank.csv": (b"\n\n\r\n", "Received the empty file"),
    "column.csv": (b"a,bb\n1,2\n", "Did you mean 'bb'"),
    "nul.csv": (b"a,b\n1,2\n3,\0\n", "line 3, which holds a NUL byte"),
    "bytes.csv": (b"a,b\n1,2\n3,\xff\n", r"byte ff at byte offset 10 .line 3."),
    "open quote.csv": (b'a,b\n1,2\n"3,4\n', "the row that begins on line 3"),
    "object.jsonl": (b'{"a": 1, "b": 2}\n[1]\n', "line 2, which begins"),
    "key.jsonl": (b'{"a": 1, "b": 2}\n{"a": 1}\n', "must have the key 'b'.* line 2"),
    "columns.dat": (b"a,b\n", "the suffix must be one of"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_same_errors(tmp_path, name):
    data, message = BAD[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as whole:
        read_columns(path, TWO)
    with pytest.raises(DataError) as streamed:
        RowStream(path, TWO)
    assert str(streamed.value) == str(whole.value)


def test_no_file(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="must exist.*Did you mean .*rows.csv"):
        RowStream(tmp_path / "row.csv", TWO)
    with pytest.raises(DataError, match="encoding must be .*='klingon'"):
        RowStream(tmp_path / "rows.csv", FileFormat(("a",), encoding="klingon"))


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(count):
        path = tmp_path / f"{count}.csv"
        path.write_text("a,b\n" + "some text of a row,and another\n" * count)
        tracemalloc.start()
        stream = RowStream(path, TWO)
        assert sum(len(window) for window in stream.windows(100)) == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small = peak(1_000)
    # The file is 3 MB.
    assert peak(100_000) < small + 200_000
