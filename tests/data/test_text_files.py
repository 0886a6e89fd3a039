"""Delimited and JSON-lines files: every way of being wrong, and the right ones."""

import pathlib

import pytest

from adapters_tf.data.files import FileFormat, check_skipped, read_columns
from adapters_tf.data.row_stream import RowStream
from adapters_tf.data.tables import read_text, utf8_or
from adapters_tf.errors import DataError, UserError

ONE = FileFormat(("text",), "label")


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# === What is read ===


def test_csv_with_quotes_and_line_numbers(write):
    path = write("a.csv", 'id,text,label\n1,"one, ""two""\nlines", pos \n\n2,b,neg\n')
    table = read_columns(path, ONE)
    assert table.texts == (['one, "two"\nlines', "b"],)
    assert table.raw_labels == ["pos", "neg"]
    assert table.lines == [2, 5]
    assert table.path == str(path)
    assert table.skipped == 0


def test_two_texts_keep_their_order_and_white_space(write):
    path = write("a.csv", "label,second,first\nx, b ,a \n")
    table = read_columns(path, FileFormat(("first", "second"), "label"))
    assert table.texts == (["a "], [" b "])


def test_tab_separated_files_have_no_quoting(write):
    content = 'text\tlabel\n"a" b\tx\n"c\ty\n'
    assert read_columns(write("a.tsv", content), ONE).texts == (['"a" b', '"c'],)
    assert read_columns(write("a.txt", content), ONE).texts == (['"a" b', '"c'],)


@pytest.mark.parametrize("name, gap", [("a.csv", ","), ("a.tsv", "\t")])
def test_texts_of_any_length(write, name, gap):
    long = "word " * 60_000  # csv's own limit is 131,072 characters
    path = write(name, f"text{gap}label\n{long}{gap}x\nb{gap}y\n")
    assert read_columns(path, ONE).texts == ([long, "b"],)
    (rows,) = RowStream(path, ONE).windows(2)
    assert rows.texts == ([long, "b"],)


def test_quoting_can_be_set_either_way(write):
    on = FileFormat(("text",), "label", quoting=True)
    table = read_columns(write("a.tsv", 'text\tlabel\n"a\tb"\tx\n'), on)
    assert table.texts == (["a\tb"],)
    off = FileFormat(("text",), "label", quoting=False)
    assert read_columns(write("a.csv", 'text,label\n"a,x\n'), off).texts == (['"a'],)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends(write, end):
    path = write("a.csv", end.join(["", "text,label", "a,x", "b,y", ""]))
    table = read_columns(path, ONE)
    assert table.texts == (["a", "b"],)
    assert table.raw_labels == ["x", "y"]
    assert table.lines == [3, 4]


def test_line_end_inside_quotes_is_kept(write):
    table = read_columns(write("a.csv", 'text,label\r\n"a\r\nb",x\r\n'), ONE)
    assert table.texts == (["a\r\nb"],)


def test_unicode_line_separators_do_not_end_a_row(write):
    path = write("a.csv", "text,label\na\u2028b\x85c,x\n")
    assert read_columns(path, ONE).texts == (["a\u2028b\x85c"],)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_byte_order_mark_is_stripped(write, encoding):
    path = write("a.csv", b"\xef\xbb\xbftext,label\n\xc3\xa9,x\n")
    format = FileFormat(("text",), "label", encoding=encoding)
    assert read_columns(path, format).texts == (["\xe9"],)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings(write, encoding):
    path = write("a.csv", "text,label\ncaf\xe9,x\n".encode(encoding))
    format = FileFormat(("text",), "label", encoding=encoding)
    assert read_columns(path, format).texts == (["caf\xe9"],)


def test_column_numbers_without_a_header(write):
    path = write("SMSSpam", "ham\tGo on\nspam\tWin\n")
    format = FileFormat(("1",), "0", delimiter="\t", header=False)
    table = read_columns(path, format)
    assert table.texts == (["Go on", "Win"],)
    assert table.raw_labels == ["ham", "spam"]
    assert table.lines == [1, 2]


def test_delimiter_of_two_characters_from_a_shell_is_a_tab():
    assert FileFormat(("a",), delimiter="\\t").delimiter == "\t"


def test_label_column_may_be_left_out(write):
    table = read_columns(write("a.csv", "text,label\na,\n"), FileFormat(("text",)))
    assert table.raw_labels is None
    assert table.texts == (["a"],)


def test_one_column_file(write):
    table = read_columns(write("a.txt", "text\na b\nc\n\n"), FileFormat(("text",)))
    assert table.texts == (["a b", "c"],)


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.csv", 'text,label\na,x\n,x\n"",x\n" ",x\n'),
        ("a.tsv", "text\tlabel\na\tx\n\tx\n\tx\n \tx\n"),
        ("a.txt", "text\na\n\n\n \n\n"),
        ("a.jsonl", '{"text": "a"}\n{"text": ""}\n{"text": ""}\n{"text": " "}\n'),
    ],
)
def test_only_rows_without_labels_may_have_empty_texts(write, name, content):
    path, unlabelled = write(name, content), FileFormat(("text",))
    assert read_columns(path, unlabelled).texts == (["a", "", "", " "],)
    (window,) = RowStream(path, unlabelled).windows(10)
    assert window.texts == (["a", "", "", " "],)
    if name in ("a.csv", "a.tsv"):
        refused(path, ONE, r"text column 'text' may be empty.*line 3 \(3 of 4 rows")


def test_json_lines(write):
    path = write(
        "a.jsonl",
        '{"text": "a\\u00e9", "label": 1}\r\n\n{"label": true, "text": 2.5, "z": []}',
    )
    table = read_columns(path, ONE)
    assert table.texts == (["a\xe9", "2.5"],)
    assert table.raw_labels == ["1", "true"]
    assert table.lines == [1, 3]


def test_lenient_reading_counts_and_skips(write):
    path = write("a.tsv", "text\tlabel\na\tx\nb\nc\ty\tz\n\td\n")
    table = read_columns(path, ONE, strict=False)
    assert table.texts == (["a", ""],)
    assert table.skipped == 2
    assert table.lines == [2, 5]


def test_only_a_few_rows_may_be_left_out(write):
    def table(bad):
        path = write("a.csv", "text,label\n" + "a,x\n" * 9 + "b\n" * bad)
        return read_columns(path, ONE, strict=False)

    check_skipped(table(10), "right")
    with pytest.raises(DataError, match="11 of 20 have. Its columns must be right$"):
        check_skipped(table(11), "right")


@pytest.mark.parametrize(
    "content, encoding",
    [
        ("caf\xe9".encode(), "utf-8-sig"),
        ("\ufeffcaf\xe9".encode(), "utf-8-sig"),
        (b"caf\xe9", "latin-1"),
        # A character that stands across the end of the first piece that is read.
        (b"a" * ((1 << 20) - 1) + "\xe9".encode(), "utf-8-sig"),
        (b"a" * (1 << 21) + b"\xe9", "latin-1"),
    ],
)
def test_utf8_or_another_encoding(write, content, encoding):
    assert utf8_or(write("a.txt", content), "latin-1") == encoding


def test_encoding_of_a_missing_file_is_left_to_the_reader(tmp_path):
    assert utf8_or(tmp_path / "none", "latin-1") == "utf-8-sig"


# === What is refused ===


def refused(path, format, match):
    with pytest.raises(DataError, match=match):
        read_columns(path, format)


def test_errors_are_user_errors_and_value_errors(tmp_path):
    assert issubclass(DataError, UserError) and issubclass(UserError, ValueError)
    with pytest.raises(ValueError, match="must exist"):
        read_text(tmp_path / "none.csv")


def test_missing_file(write, tmp_path):
    write("train.csv", "x")
    refused(tmp_path / "trian.csv", ONE, r"must exist.*trian\.csv\. Did .*train\.csv\?")
    refused(tmp_path / "no" / "a.csv", ONE, "directory .*no does not exist")


def test_directory(tmp_path, write):
    write("inside.csv", "x")
    (tmp_path / "d.csv").mkdir()
    refused(tmp_path / "d.csv", ONE, r"Received the directory .*d\.csv")


def test_unreadable_file(write, monkeypatch):
    path = write("a.csv", "text,label\na,x\n")

    def deny(self):
        raise PermissionError(13, "Permission denied")

    # Taking the permission away does not stop root, as whom tests may run.
    monkeypatch.setattr(pathlib.Path, "read_bytes", deny)
    refused(path, ONE, r"must be readable.*chmod u\+r")


def test_other_read_failure(write, monkeypatch):
    def fail(self):
        raise OSError(5, "Input/output error")

    path = write("a.csv", "text,label\na,x\n")
    monkeypatch.setattr(pathlib.Path, "read_bytes", fail)
    refused(path, ONE, "must be readable.*Input/output error")


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf\n", b"\xff\xfe"])
def test_empty_file(write, content):
    encoding = "utf-16" if content == b"\xff\xfe" else "utf-8-sig"
    format = FileFormat(("text",), "label", encoding=encoding)
    refused(write("a.csv", content), format, r"empty file .*a\.csv")


def test_header_only(write):
    refused(write("a.csv", "text,label\n"), ONE, "below its header.*--header=false")


def test_unknown_column_lists_the_others_and_the_nearest(write):
    path = write("a.csv", "id,txt,label\n1,a,x\n")
    refused(path, ONE, r"Received: 'text'.*\['id', 'txt', 'label'\].*mean 'txt'\?")
    refused(path, FileFormat(("0",)), "Column numbers need --header=false")


def test_column_name_twice(write):
    refused(write("a.csv", "text,text,label\na,b,x\n"), ONE, "unique.*'text'.* 2 times")


@pytest.mark.parametrize("name", ["2", "-1", "text"])
def test_column_number_out_of_range(write, name):
    format = FileFormat((name,), "0", header=False)
    refused(write("a.csv", "a,x\n"), format, f"from 0 to 1 .*Received: '{name}'")


def test_ragged_row(write):
    path = write("a.csv", "text,label\na,x\nb,c,x\n")
    refused(path, ONE, r"must have 2 columns.*line 3, which has 3: \['b', 'c', 'x'\]")
    refused(write("b.csv", "text,label\na\n"), ONE, "line 2, which has 1")


def test_wrong_delimiter(write):
    path = write("a.csv", "text;label\na;x\n")
    match = r"delimiter ',' finds only one: \['text;label'\]. Try --delimiter=';'"
    refused(path, ONE, match)
    assert read_columns(path, FileFormat(("text",), "label", ";")).texts == (["a"],)
    # Of one column, too, and only where it helps.
    refused(path, FileFormat(("text",)), r"are \['text;label'\]. Try --delimiter=';'$")
    refused(path, FileFormat(("txt",)), r"are \['text;label'\]$")


def test_unknown_suffix(write):
    match = r"suffix must be one of \.csv, .*\.dat\. Give the delimiter"
    refused(write("a.dat", "text,label\na,x\n"), ONE, match)


def test_wrong_encoding_names_the_offset(write):
    path = write("a.csv", "text,label\r\nok,x\r\ncaf\xe9,x\r\n".encode("latin-1"))
    refused(path, ONE, r"byte e9 at byte offset 21 \(line 3\).*--encoding=latin-1")
    marked = write("b.csv", b"\xef\xbb\xbftext,label\ncaf\xe9,x\n")
    refused(marked, ONE, r"byte e9 at byte offset 17 \(line 2\)")


def test_utf16_file_is_recognised(write):
    path = write("a.csv", "text,label\na,x\n".encode("utf-16"))
    refused(path, ONE, "byte offset 0 .*--encoding=utf-16")


@pytest.mark.parametrize("encoding", ["klingon", "rot13"])
def test_unknown_encoding(write, encoding):
    format = FileFormat(("text",), "label", encoding=encoding)
    refused(write("a.csv", "text,label\n"), format, f"encoding='{encoding}'")


def test_nul_bytes(write):
    refused(write("a.csv", "text,label\r\na,x\r\nb\0,x\r\n"), ONE, "line 3.*NUL byte")


def test_empty_texts_are_counted(write):
    path = write("a.csv", "text,label\na,x\n  ,x\n,x\n")
    refused(path, ONE, r"text column 'text'.*line 3 \(2 of 3 rows")


def test_missing_label(write):
    path = write("a.csv", "text,label\na,x\nb, \n")
    refused(path, ONE, "label column 'label'.*line 3 .1 of 2.*give no label column")


def test_unclosed_quote(write):
    path = write("a.csv", 'text,label\na,x\n"b,x\nc,x\n')
    refused(path, ONE, "row that begins on line 3: .*--quoting=false")


@pytest.mark.parametrize(
    "line, match",
    [
        ('{"text": "a", "label": }', "line 2: Expecting value"),
        ('"text"', "one JSON object.*line 2, which begins"),
        ('[{"text": "a"}]', "line 2.*jq -c"),
        ("[", "line 2.*jq -c"),
        (
            '{"txt": "a", "label": 1}',
            r"key 'text'.*line 2.*\['txt', 'label'\].*'txt'\?",
        ),
        ('{"text": ["a"], "label": 1}', "string or a number.*line 2, a JSON array"),
        ('{"text": {}, "label": 1}', "string or a number.*line 2, a JSON object"),
        ('{"text": null, "label": 1}', "'text' must be .*line 2, null. Fill or remove"),
        ('{"text": "b", "label": null}', "label column 'label'.*line 2 .1 of 2"),
        ('{"text": "\\ud800", "label": 1}', "valid Unicode.*line 2.*surrogate"),
        ("[" * 100_000, "line 2"),
    ],
)
def test_bad_json_line(write, line, match):
    refused(write("a.jsonl", '{"text": "a", "label": 0}\n' + line), ONE, match)


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"text_columns": ()}, "one or more names"),
        ({"text_columns": ("a", "b", "a")}, "must be different ones"),
        ({"text_columns": "text"}, "one or more names.*'text'"),
        ({"text_columns": ("a", "a")}, "different ones"),
        ({"text_columns": ("a",), "label_column": "a"}, "different ones"),
        ({"text_columns": ("a",), "delimiter": "::"}, "one character"),
        ({"text_columns": ("a",), "delimiter": ""}, "one character"),
        ({"text_columns": ("a",), "delimiter": '"'}, "one character"),
    ],
)
def test_bad_format(arguments, match):
    with pytest.raises(DataError, match=match):
        FileFormat(**arguments)
