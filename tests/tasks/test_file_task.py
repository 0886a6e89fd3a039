"""Tasks made of the user's own files."""

import json

import numpy as np
import pytest

from adapters_tf.data.files import FileFormat
from adapters_tf.errors import DataError
from adapters_tf.models.task import Task
from adapters_tf.tasks.file_task import load_file_examples, load_file_task

FORMAT = FileFormat(("text",), "label")


@pytest.fixture
def write(tmp_path):
    def write(name, labels):
        rows = "".join(f"text {i},{label}\n" for i, label in enumerate(labels))
        path = tmp_path / name
        path.write_text("text,label\n" + rows)
        return path

    return write


def write_squad(path, contexts):
    paragraphs = [
        {
            "context": context,
            "qas": [
                {
                    "id": f"{i}-{j}",
                    "question": "Who?",
                    "answers": [{"text": context[:3], "answer_start": 0}],
                }
                for j in range(2)
            ],
        }
        for i, context in enumerate(contexts)
    ]
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return path


def test_classes_with_a_development_file(write):
    data = load_file_task(
        write("tweets.csv", ["spam", "ham", "spam"]), write("dev.csv", ["ham"]), FORMAT
    )
    assert data.task == Task(
        "tweets",
        "classification",
        ("text",),
        ("ham", "spam"),
        ("accuracy", "f1_macro"),
    )
    assert data.train.labels.dtype == np.int32
    np.testing.assert_array_equal(data.train.labels, [1, 0, 1])
    np.testing.assert_array_equal(data.dev.labels, [0])
    assert data.dev.texts == (["text 0"],)


def test_name_can_be_given(write):
    path = write("a.csv", ["x", "y"] * 5)
    assert load_file_task(path, None, FORMAT, name="mine").task.name == "mine"


def test_stratified_split(write):
    path = write("a.csv", ["x"] * 16 + ["y"] * 4)
    data = load_file_task(path, None, FORMAT, dev_fraction=0.25, seed=5)
    assert np.bincount(data.train.labels).tolist() == [12, 3]
    assert np.bincount(data.dev.labels).tolist() == [4, 1]
    texts = set(data.train.texts[0]) | set(data.dev.texts[0])
    assert texts == {f"text {i}" for i in range(20)}
    again = load_file_task(path, None, FORMAT, dev_fraction=0.25, seed=5)
    assert again.dev.texts == data.dev.texts
    other = load_file_task(path, None, FORMAT, dev_fraction=0.25, seed=6)
    assert other.dev.texts != data.dev.texts


@pytest.mark.parametrize(
    "labels, kind",
    [
        (["1.0", "2.5", "0.5"], "regression"),
        (["1", "2.5", "2", "1"], "regression"),
        ([str(i % 77) for i in range(770)], "classification"),
        (["0.0", "1.0", "1.0"], "classification"),
        (["1.0", "x.y", "1.0"], "classification"),
        (["1.5", "inf", "1.5"], "classification"),
    ],
)
def test_automatic_kind(write, labels, kind):
    path = write("a.csv", labels)
    assert load_file_task(path, path, FORMAT).task.kind == kind


def test_auto_says_what_it_took(write, capsys):
    classes = write("a.csv", [str(i % 12) for i in range(60)])
    load_file_task(classes, classes, FORMAT)
    scores = write("b.csv", ["2.5", "1", "-3e-1"])
    load_file_task(scores, scores, FORMAT)
    assert capsys.readouterr().out.splitlines() == [
        f"{classes}: 12 labels, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..., taken as "
        "--label_kind=class; give another if that is wrong",
        f"{scores}: numbers from -0.3 to 2.5, taken as --label_kind=number; give "
        "another if that is wrong",
    ]
    load_file_task(classes, classes, FORMAT, "class")
    assert capsys.readouterr().out == ""


def test_equal_numbers_are_one_class(tmp_path):
    path = tmp_path / "rows.jsonl"
    labels = ["1", "1.0", "0", "2.0", "1e0", '"2"']
    rows = (f'{{"text": "row {i}", "label": {x}}}' for i, x in enumerate(labels))
    path.write_text("\n".join(rows))
    data = load_file_task(path, path, FORMAT)
    assert data.task.labels == ("0", "1", "2")
    assert data.train.labels.tolist() == [1, 1, 0, 2, 1, 2]
    # In another file too, and for tasks that were made with another spelling.
    task = Task("a", "classification", ("text",), ("0.0", "1.0", "2.0"), ())
    assert load_file_examples(path, FORMAT, task).labels.tolist() == [1, 1, 0, 2, 1, 2]


def test_decimal_commas_are_no_classes(write):
    path = write("a.csv", ['"0,5"', "1", '"0,7"'])
    with pytest.raises(DataError, match="decimal point.*'0,5' at .*a.csv, line 2"):
        load_file_task(path, path, FORMAT)
    data = load_file_task(path, path, FORMAT, "class")
    assert data.task.labels == ("0,5", "0,7", "1")


@pytest.mark.parametrize("value", ["nan", "NaN", "<NA>"])
def test_a_missing_label_is_no_class(write, value):
    path = write("a.csv", ["x", "y", value])
    for kind in ("auto", "class", "number"):
        with pytest.raises(DataError, match=f"missing.*a.csv, line 4, with '{value}'"):
            load_file_task(path, path, FORMAT, kind)


def test_kind_can_be_given(write):
    path = write("a.csv", ["1", "2", "2", "1"])
    data = load_file_task(path, None, FORMAT, "number", dev_fraction=0.5)
    assert data.task == Task("a", "regression", ("text",), (), ("spearman", "pearson"))
    assert data.train.labels.dtype == np.float32
    path = write("b.csv", ["1.0", "2.0", "2.0", "1.0"])
    assert load_file_task(path, path, FORMAT, "class").task.labels == ("1.0", "2.0")
    with pytest.raises(DataError, match="one of auto, class, number, .*'float'"):
        load_file_task(path, path, FORMAT, "float")


def test_text_where_numbers_are_wanted(write):
    path = write("a.csv", ["1.0", "good"])
    with pytest.raises(DataError, match="finite number.*'good' at .*a.csv, line 3"):
        load_file_task(path, None, FORMAT, "number")


def test_label_of_the_development_file_not_in_training(write):
    train, dev = write("a.csv", ["x", "y"]), write("d.csv", ["x", "z"])
    with pytest.raises(DataError, match=r"\(x, y\).*'z' at .*d.csv, line 3"):
        load_file_task(train, dev, FORMAT)


def test_unusable_arguments(write):
    path = write("a.csv", ["x", "y"])
    with pytest.raises(DataError, match="need labels"):
        load_file_task(path, None, FileFormat(("text",)))
    with pytest.raises(DataError, match="names of its columns.*a.csv"):
        load_file_task(path, None, None)
    with pytest.raises(DataError, match="dev_fraction=1.5"):
        load_file_task(path, None, FORMAT, dev_fraction=1.5)
    with pytest.raises(DataError, match="at least two classes"):
        load_file_task(write("b.csv", ["x", "x"]), None, FORMAT)


def test_questions_with_a_development_file(tmp_path):
    train = write_squad(tmp_path / "train.json", ["Ada met Babbage."])
    dev = write_squad(tmp_path / "dev.json", ["Bob met Eve.", "Eve left."])
    data = load_file_task(train, dev, None)
    assert data.task == Task(
        "train",
        "question_answering",
        ("question", "context"),
        metrics=("f1", "exact_match"),
    )
    assert len(data.train) == 2 and len(data.dev) == 4
    assert data.dev.answers[0] == ("Bob",)


def test_questions_are_split_by_context(tmp_path):
    path = write_squad(tmp_path / "a.json", [f"Ada {i} left." for i in range(10)])
    data = load_file_task(path, None, None, dev_fraction=0.3)
    assert len(data.train) == 14 and len(data.dev) == 6
    assert not set(data.train.contexts) & set(data.dev.contexts)
    path = write_squad(tmp_path / "b.json", ["Ada left."])
    with pytest.raises(DataError, match="at least 2 contexts.*with 1"):
        load_file_task(path, None, None)


def test_json_lines_with_the_suffix_json(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(
        "".join(f'{{"text": "t{i}", "label": {i % 2}}}\n' for i in range(8))
    )
    assert load_file_task(path, None, FORMAT).task.labels == ("0", "1")


def test_load_file_examples(write):
    task = Task("t", "classification", ("sentence",), ("y", "x"))
    path = write("a.csv", ["x", "y", "x"])
    examples = load_file_examples(path, FORMAT, task)
    np.testing.assert_array_equal(examples.labels, [1, 0, 1])
    unlabelled = load_file_examples(path, FileFormat(("text",)), task)
    assert unlabelled.labels is None
    assert unlabelled.texts == (["text 0", "text 1", "text 2"],)
    with pytest.raises(DataError, match=r"\(y, x\).*'z'"):
        load_file_examples(write("b.csv", ["z"]), FORMAT, task)


def test_load_file_examples_of_scores(write):
    task = Task("t", "regression", ("sentence",))
    examples = load_file_examples(write("a.csv", ["1", "2.5"]), FORMAT, task)
    assert examples.labels.dtype == np.float32
    np.testing.assert_array_equal(examples.labels, [1, 2.5])


def test_load_file_examples_needs_as_many_texts(write):
    task = Task("t", "classification", ("a", "b"), ("y", "x"))
    with pytest.raises(DataError, match=r"2 text columns \(a, b\).*\('text',\)"):
        load_file_examples(write("a.csv", ["x"]), FORMAT, task)
    task = Task("t", "classification", ("a",), ("y", "x"))
    with pytest.raises(DataError, match="names of its columns"):
        load_file_examples(write("a.csv", ["x"]), None, task)


def test_load_questions_to_predict(tmp_path):
    path = tmp_path / "q.json"
    path.write_text('[{"context": "Ada left.", "question": "Who?"}]')
    task = Task("t", "question_answering", ("question", "context"))
    examples = load_file_examples(path, None, task)
    assert examples.questions == ["Who?"] and examples.answers == [()]
    # To evaluate, the format names labels.
    with pytest.raises(DataError, match="under 'answer'"):
        load_file_examples(path, FORMAT, task)


def test_evaluation_leaves_out_questions_without_an_answer(tmp_path):
    path = write_squad(tmp_path / "q.json", ["Ada left."])
    content = json.loads(path.read_text())
    content["data"][0]["paragraphs"][0]["qas"][0] |= {"id": 7, "is_impossible": True}
    path.write_text(json.dumps(content))
    task = Task("t", "question_answering", ("question", "context"))
    assert load_file_examples(path, FORMAT, task).ids == ["0-1"]
    assert load_file_examples(path, FileFormat(("text",)), task).ids == ["7", "0-1"]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("rows.csv", '"{} film",{}\n"{}  Film",{}\n'),
        ("rows.conll", "{} O\nfilm B-X{}\n\n{} O\nFilm B-X{}\n\n"),
    ],
)
def test_no_dev_row_says_what_a_training_row_says(tmp_path, name, row):
    text = "".join(row.format(i, i % 2, i, i % 2) for i in range(30))
    path = tmp_path / name
    path.write_text(text if name.endswith("conll") else "text,label\n" + text)
    for seed in range(5):
        data = load_file_task(path, None, FORMAT, dev_fraction=0.2, seed=seed)
        first = [
            {text.split()[0] if isinstance(text, str) else text[0] for text in texts}
            for rows in (data.train, data.dev)
            for texts in [rows.words if name.endswith("conll") else rows.texts[0]]
        ]
        assert (len(data.train), len(data.dev)) == (48, 12)
        assert first[0].isdisjoint(first[1])
