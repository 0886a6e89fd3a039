"""Rows with any number of labels, in the three forms of files."""

import numpy as np
import pytest

from adapters_tf.data.files import FileFormat
from adapters_tf.errors import DataError
from adapters_tf.models.task import Task
from adapters_tf.tasks.file_task import load_file_examples, load_file_task
from adapters_tf.tasks.source import TaskSource

SEPARATED = FileFormat(("text",), "label", label_separator=";")
# Rows of the three files below, for labels in the order a, b, c10.
EXPECTED = [[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_three_forms_are_one_task(write):
    csv = write("rows.csv", "text,label\none, b ; a;;b\ntwo,\nthree,c10\nfour,a\n")
    json = write(
        "rows.jsonl",
        '{"text": "one", "label": ["b", "a"]}\n{"text": "two", "label": []}\n'
        '{"text": "three", "label": ["c10"]}\n{"text": "four", "label": ["a"]}\n',
    )
    columns = write(
        "columns.csv",
        "text,a,b,c10\none,1,1,0\ntwo,0,0.0,0\nthree,0,false,True\nfour,1,0,0\n",
    )
    by_column = FileFormat(("text",), label_columns=["a", "b", "c10"])
    for path, format, kind in (
        (csv, SEPARATED, "auto"),
        (json, FileFormat(("text",), "label"), "multi"),
        (columns, by_column, "auto"),
    ):
        data = load_file_task(path, path, format, kind, name="t")
        assert data.task == Task(
            "t", "multi_label", ("text",), ("a", "b", "c10"), ("f1_micro", "f1_macro")
        )
        assert data.train.labels.dtype == np.float32
        np.testing.assert_array_equal(data.train.labels, EXPECTED)
        assert data.train.texts == (["one", "two", "three", "four"],)
        again = load_file_examples(path, format, data.task)
        np.testing.assert_array_equal(again.labels, EXPECTED)
        assert load_file_examples(path, FileFormat(("text",)), data.task).labels is None


def test_study_files_name_label_columns(write):
    path = str(write("rows.csv", "text,a,b\none,1,1\ntwo,0,1\n"))
    values = {"train_file": path, "dev_file": path, "label_columns": ["b", "a"]}
    data = TaskSource.from_dict(values).load()
    assert data.task.labels == ("b", "a")
    np.testing.assert_array_equal(data.train.labels, [[1, 1], [1, 0]])


def test_split_off_development_rows(write):
    rows = "".join(f"text {i},{'a;b' if i % 2 else ''}\n" for i in range(20))
    data = load_file_task(write("r.csv", "text,label\n" + rows), None, SEPARATED)
    assert (len(data.train), len(data.dev)) == (18, 2)
    assert data.dev.labels.shape == (2, 2)


@pytest.mark.parametrize(
    ("text", "format", "message"),
    [
        ("one,a;b\n", FileFormat(("text",), "label"), "line 2, with 'a;b'. Give it"),
        ("one,a|b\ntwo,c\n", SEPARATED, r"';' separates none, such as \['a\|b', 'c'\]"),
        ("one,\ntwo,\n", SEPARATED, "from 1 to 1000 labels. .* 0 in 2 rows"),
        ("one,a;b\ntwo,nan\n", SEPARATED, r"missing;.*\['nan'\] at .*, line 3"),
        (
            "one,2\n",
            FileFormat(("text",), label_columns=("label",)),
            "must be 0 or 1. Received: '2' in column 'label' of .*, line 2",
        ),
    ],
)
def test_bad_files(write, text, format, message):
    path = write("rows.csv", "text,label\n" + text)
    with pytest.raises(DataError, match=message):
        load_file_task(path, path, format, "multi")


def test_equal_numbers_are_one_label(write):
    path = write("rows.jsonl", '{"text": "one", "label": [1, 2.5, 1.0]}\n' * 2)
    data = load_file_task(path, path, FileFormat(("text",), "label"), "multi")
    assert data.task.labels == ("1", "2.5")
    assert data.train.labels.tolist() == [[1, 1]] * 2


def test_unknown_label_of_a_development_file(write):
    train = write("train.csv", "text,label\none,a;b\n")
    dev = write("dev.csv", "text,label\none,a\ntwo,b;x\n")
    with pytest.raises(DataError, match=r"\(a, b\)\. .* 'x' at .*dev.csv, line 3"):
        load_file_task(train, dev, SEPARATED)


def test_a_list_needs_the_kind(write):
    path = write("rows.jsonl", '{"text": "one", "label": ["a"]}\n')
    with pytest.raises(DataError, match="a JSON array. A list of labels needs --label"):
        load_file_task(path, path, FileFormat(("text",), "label"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_column": "l", "label_columns": ("a",)}, "in place of label_column"),
        ({"label_column": None, "label_separator": ";"}, "label_column=None"),
        ({"label_column": "l", "label_separator": ""}, "label_separator=''"),
        ({"label_columns": ("text",)}, r"different ones.*label_columns=\('text',\)"),
    ],
)
def test_contradictory_formats(arguments, message):
    with pytest.raises(DataError, match=message):
        FileFormat(("text",), **arguments)


def test_a_separator_is_for_several_labels(write):
    path = write("rows.csv", "text,label\none,a;b\n")
    with pytest.raises(
        DataError, match="label_kind='multi'. Received: the task 'rows', class"
    ):
        load_file_task(path, path, SEPARATED, "class")
    task = Task("t", "classification", ("text",), ("a", "b"))
    with pytest.raises(DataError, match="the task 't', classification"):
        load_file_examples(path, SEPARATED, task)
