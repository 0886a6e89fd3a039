"""Files of words and tags: what is read, and what is refused with its line."""

import numpy as np
import pytest

from adapters_tf.data.conll import infer_tags, read_conll, valid_tags
from adapters_tf.data.files import FileFormat
from adapters_tf.errors import DataError
from adapters_tf.tasks.file_task import load_file_examples, load_file_task

DEFAULT = FileFormat(("text",), "label")
CONLL = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
# # # O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER


"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="rows.conll"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_words_and_tags(write):
    table = read_conll(write(CONLL), DEFAULT)
    assert table.words == [("EU", "rejects", "#"), ("Peter", "Blackburn")]
    assert table.tags == [("B-ORG", "O", "O"), ("B-PER", "I-PER")]
    assert (table.lines, table.column) == ([3, 7], 0)
    chosen = read_conll(write(CONLL), FileFormat(("1",), "2"), tags=False)
    assert chosen.words == [("NNP", "VBZ", "#"), ("NNP", "NNP")]
    assert chosen.tags is None
    # Tags of the third column are B-NP, B-VP and #.
    with pytest.raises(DataError, match="'#' at .*rows.conll, line 5"):
        read_conll(write(CONLL), FileFormat(("0",), "2"))


def test_tabs_comments_and_line_ends(write):
    text = "# id 1\tdomain=en\r\n#\tO\r\nlow\tB-a-b\r\n\r\n# id 2\r\nhigh\tO"
    table = read_conll(write(text), DEFAULT)
    assert table.words == [("#", "low"), ("high",)]
    assert table.tags == [("O", "B-a-b"), ("O",)]


def test_comments_after_a_tab(write):
    # As in GermEval 2014: the number of the word, the word, outer and inner tags.
    text = (
        "#\thttp://de.wikipedia.org/wiki/Ada [2009-10-17]\n1\tAda\tB-PER\tO\n"
        "2\tschrieb\tO\tO\n\n#\thttp://x [2009]\n1\tBonn\tB-LOC\tO\n2\t#\tO\tO\n"
    )
    path = write(text)
    table = read_conll(path, FileFormat(("1",), "2"))
    assert table.words == [("Ada", "schrieb"), ("Bonn", "#")]
    assert table.tags == [("B-PER", "O"), ("B-LOC", "O")]
    with pytest.raises(DataError, match="column 0 of .*counts them.*text_columns=1"):
        read_conll(path, DEFAULT)


@pytest.mark.parametrize("between", [" ", "\t", "  "])
def test_other_white_space_belongs_to_its_word(write, between):
    rows = [("10\u00a0km", "B-X"), ("\u3000", "O"), ("a\x0b\x85\u2028b", "O")]
    text = "".join(f"{word}{between}{tag}\u00a0\n" for word, tag in rows)
    if between == "\t":
        tagged = read_conll(write(text), DEFAULT)
    else:  # There, U+00A0 would be a part of the tag.
        tagged = read_conll(write(text.replace("\u00a0\n", "\n")), DEFAULT)
    assert tagged.words == [tuple(word for word, _ in rows)]
    assert tagged.tags == [("B-X", "O", "O")]


def test_conll_u(write):
    comments = "# newdoc\n# sent_id = 1\n# text = vámonos ya\n"
    fields = "\t".join("_" * 7)
    words = [f"{i + 1}\t{w}\t{fields}\tO" for i, w in enumerate(("vamos", "nos"))]
    path = write(comments + "\n".join(words) + "\n\n# sent_id = 2\n" + words[0])
    table = read_conll(path, FileFormat(("1",), "9"))
    assert table.words == [("vamos", "nos"), ("vamos",)]
    for line in ("1-2\tvámonos", "1.1\tnos"):
        path = write(comments + f"{line}\t{fields}\t_\n" + "\n".join(words))
        with pytest.raises(DataError, match=f"{line[:3]}' at .*, line 4: .*Leave such"):
            read_conll(path, FileFormat(("1",)), tags=False)
    # Scores are words, where they are not before words.
    table = read_conll(write("won O\n3-1 O\n\n1 O\n2 B-X\n"), DEFAULT)
    assert table.words == [("won", "3-1"), ("1", "2")]


@pytest.mark.parametrize("tags", [True, False])
def test_a_header(write, tags):
    path = write("Word POS Tag\nAda NNP B-PER\nran VBD O\n\nshe PRP O\n")
    with pytest.raises(DataError, match="no header. .*'Word POS Tag' at .*, line 1"):
        read_conll(path, DEFAULT, tags=tags)


@pytest.mark.parametrize(
    "line", ["-DOCSTART-\tO", "-DOCSTART- (2)", "3\t-DOCSTART-\tO"]
)
def test_documents(write, line):
    path = write(f"1\ta\tO\n{line}\n1\tb\tB-X\n2\tc\tO\n")
    table = read_conll(path, FileFormat(("1",), "2"))
    assert table.words == [("a",), ("b", "c")]
    assert table.lines == [1, 3]


@pytest.mark.parametrize("tags", [True, False])
def test_the_word_that_begins_comments(write, tags):
    # Tags are in the second column of three.
    text = "# sent_id 1\nlow O x\n\n# O x\nhigh O x\n\n# sent_id 2\n# B-52 seen\n"
    table = read_conll(write(text), FileFormat(("0",), "1"), tags=tags)
    assert table.words == [("low",), ("#", "high"), ("#",)]
    assert table.lines == [2, 4, 8]


@pytest.mark.parametrize(
    "format",
    [
        FileFormat(("text",), "label", label_separator=";"),
        FileFormat(("text",), None, label_columns=("a", "b")),
    ],
)
def test_several_labels_a_row_are_not_of_words(write, format):
    path = write(CONLL)
    with pytest.raises(DataError, match="several labels a row.*token classification"):
        load_file_task(path, None, format)
    task = load_file_task(path, None, DEFAULT).task
    with pytest.raises(DataError, match="several labels a row.*token classification"):
        load_file_examples(path, format, task)


def test_words_alone(write):
    table = read_conll(write("a\nb\n\nc\n"), FileFormat(("0",)), tags=False)
    assert table.words == [("a", "b"), ("c",)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a B-X\nb I-Y\n", "'I-Y' after 'B-X' at .*, line 2. A file in IOB1"),
        ("a B-X\n\nb I-X\n", "'I-X' after 'O' at .*, line 3"),
        ("a S-X\n", "'S-X' at .*, line 1. BIOES"),
        ("a PER\n", "O, B-NAME or I-NAME.* 'PER' at .*, line 1$"),
        ("a B-\n", "'B-' at"),
        ("a O\nb c O\n", "must have 2 columns.*Received: 3 at .*, line 2"),
        ("a\tO\nb c\tO\n", "without spaces and tabs. Received: 'b c' at .*, line 2"),
        ("a\n", "column 0 for both, of the 1 of"),
        ("-DOCSTART- O\n", "must hold words"),
    ],
)
def test_bad_files(write, text, message):
    with pytest.raises(DataError, match=message):
        read_conll(write(text), DEFAULT)


@pytest.mark.parametrize(
    ("format", "message"),
    [
        (
            FileFormat(("word",), "label"),
            "from 0 to 3. .* 'word', of .*, line 3",
        ),
        (FileFormat(("text",), "4"), "Received: '4'"),
        (FileFormat(("0", "1"), "3"), "one column of words"),
    ],
)
def test_bad_columns(write, format, message):
    with pytest.raises(DataError, match=message):
        read_conll(write(CONLL.replace("-DOCSTART- -X- -X- O", "")), format)


def test_labels_are_o_then_both_tags_of_each_type():
    tags = infer_tags([("B-x10", "O"), ("B-x2", "I-x2")], "f")
    assert tags == ("O", "B-x2", "I-x2", "B-x10", "I-x10")
    with pytest.raises(DataError, match="from 1 to 499 types.*f, with 0 in 1"):
        infer_tags([("O",)], "f")


def test_task_and_further_files(write):
    train = write(CONLL)
    data = load_file_task(train, train, DEFAULT)
    assert data.task.kind == "token_classification"
    assert data.task.text_columns == ("0",)
    assert data.task.labels == ("O", "B-ORG", "I-ORG", "B-PER", "I-PER")
    assert [t.tolist() for t in data.train.tags] == [[1, 0, 0], [3, 4]]
    assert data.train.take(np.array([1])).words == [("Peter", "Blackburn")]
    # Files of any name, with the kind.
    other = write("low O\nhigh B-LOC\n", "dev.txt")
    with pytest.raises(DataError, match=r"\(ORG, PER\). .*'B-LOC' at .*txt, line 2"):
        load_file_task(train, other, DEFAULT, "tags")
    assert load_file_examples(other, FileFormat(("0",)), data.task).tags is None


def test_split_off_sentences(write):
    path = write("".join(f"a{i} O\nb B-X\n\n" for i in range(10)))
    data = load_file_task(path, None, DEFAULT, dev_fraction=0.2)
    assert (len(data.train), len(data.dev)) == (8, 2)


def test_valid_tags():
    tags = ["I-a", "I-a", "O", "I-b", "B-b", "I-a"]
    assert valid_tags(tags) == ["B-a", "I-a", "O", "B-b", "B-b", "B-a"]
