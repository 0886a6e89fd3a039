"""GLUE's unlabelled test files in their public layout."""

import pytest
from absl import logging

from adapters_tf.data.glue import GLUE_LAYOUTS, GLUE_TESTS, read_glue_test
from adapters_tf.errors import DataError

_MNLI = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\n"
)
_MNLI_ROW = "0\t3\t3e\tg\t(\t)\t(\t)\t{0}\tH\n"

# Folder, file, content, and its texts.
FILES = {
    "CoLA": (
        "CoLA",
        "test.tsv",
        'index\tsentence\n0\tThe "ship.\n1\tIt sank\n',
        (['The "ship.', "It sank"],),
    ),
    "SST-2": ("SST-2", "test.tsv", "index\tsentence\n0\tbleak .\n", (["bleak ."],)),
    "MRPC": (
        "MRPC",
        "test.tsv",
        "\ufeffindex\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t7\t8\tOne\tTwo\n",
        (["One"], ["Two"]),
    ),
    "STS-B": (
        "STS-B",
        "test.tsv",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\t"
        "sentence2\n0\tg\tf\ty\t1\tn\tn\tA.\tB.\n",
        (["A."], ["B."]),
    ),
    "QQP": (
        "QQP",
        "test.tsv",
        "id\tquestion1\tquestion2\n0\tHow?\tWhy?\n1\t\tWho?\n",
        (["How?", ""], ["Why?", "Who?"]),
    ),
    "MNLI-m": (
        "MNLI",
        "test_matched.tsv",
        _MNLI + _MNLI_ROW.format("M"),
        (["M"], ["H"]),
    ),
    "MNLI-mm": (
        "MNLI",
        "test_mismatched.tsv",
        _MNLI + _MNLI_ROW.format("MM"),
        (["MM"], ["H"]),
    ),
    "QNLI": (
        "QNLI",
        "test.tsv",
        "index\tquestion\tsentence\n0\tQ?\tS.\n",
        (["Q?"], ["S."]),
    ),
    "RTE": (
        "RTE",
        "test.tsv",
        "index\tsentence1\tsentence2\n0\tP\tH\n",
        (["P"], ["H"]),
    ),
    "WNLI": (
        "WNLI",
        "test.tsv",
        "index\tsentence1\tsentence2\n0\tW\tH\n",
        (["W"], ["H"]),
    ),
    "AX": (
        "diagnostic",
        "diagnostic.tsv",
        "index\tsentence1\tsentence2\n0\tThe cat\tA cat\n",
        (["The cat"], ["A cat"]),
    ),
}


def write(root, names=FILES):
    for name in names:
        folder, file, content, _ = FILES[name]
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / file).write_text(content, encoding="utf-8", newline="")


@pytest.fixture
def warnings(monkeypatch):
    messages = []
    monkeypatch.setattr(logging, "warning", lambda text, *a: messages.append(text % a))
    return messages


def test_all_eleven_are_covered():
    assert list(FILES) == list(GLUE_TESTS) and len(FILES) == 11
    assert {test.task for test in GLUE_TESTS.values()} == set(GLUE_LAYOUTS)


@pytest.mark.parametrize("name", FILES)
def test_official_layout(tmp_path, name, warnings):
    write(tmp_path)
    numbers, examples = read_glue_test(name, tmp_path)
    texts = FILES[name][3]
    assert examples.texts == texts
    assert examples.labels is None
    assert numbers == [str(i) for i in range(len(texts[0]))]
    official = GLUE_TESTS[name].rows
    assert f"the official test set of {name} has {official}" in warnings[0]


def test_complete_set_is_not_warned_of(tmp_path, warnings):
    lines = [f"{i}\tP\tH" for i in range(146)]
    (tmp_path / "wnli").mkdir()
    (tmp_path / "wnli" / "test.tsv").write_text(
        "\n".join(["index\tsentence1\tsentence2", *lines])
    )
    numbers, examples = read_glue_test("WNLI", tmp_path)
    assert len(examples) == 146 and numbers[-1] == "145"
    assert warnings == []


@pytest.mark.parametrize("folder", ["MNLI", "mnli", "AX", "."])
def test_folders_of_the_diagnostic_set(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "diagnostic.tsv").write_text(FILES["AX"][2])
    assert len(read_glue_test("AX", tmp_path)[1]) == 1


def test_missing_files(tmp_path):
    with pytest.raises(DataError, match=r"rte must be test\.tsv in one of"):
        read_glue_test("RTE", tmp_path)
    with pytest.raises(DataError, match=r"AX must be diagnostic\.tsv in one of"):
        read_glue_test("AX", tmp_path)


@pytest.mark.parametrize(
    "row, match",
    [
        ("1\tP\n", "as many columns as the header.*1 rows do not"),
        ("0\tP\tH\n", r"whole number of its own.*line 2: '0' \(2 of 2 rows"),
        ("1.0\tP\tH\n", "line 3: '1.0'"),
    ],
)
def test_bad_rows(tmp_path, row, match):
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE" / "test.tsv").write_text(FILES["RTE"][2] + row)
    with pytest.raises(DataError, match=match):
        read_glue_test("RTE", tmp_path)
