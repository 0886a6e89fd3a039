"""The registry of named tasks, and its two sources."""

import json

import numpy as np
import pytest

from adapters_tf.data import tfds_source
from adapters_tf.data.examples import Examples
from adapters_tf.errors import DataError, UserError
from adapters_tf.models.task import Task
from adapters_tf.tasks.source import TASKS, load_task, task_names

# The metrics of the paper, primary first; the labels of TensorFlow Datasets.
BENCHMARKS = {
    "cola": (["unacceptable", "acceptable"], ["matthews"]),
    "sst2": (["negative", "positive"], ["accuracy"]),
    "mrpc": (["not_equivalent", "equivalent"], ["f1", "accuracy"]),
    "stsb": ([], ["spearman", "pearson"]),
    "qqp": (["not_duplicate", "duplicate"], ["f1", "accuracy"]),
    "mnli": (["entailment", "neutral", "contradiction"], ["accuracy"]),
    "qnli": (["entailment", "not_entailment"], ["accuracy"]),
    "rte": (["entailment", "not_entailment"], ["accuracy"]),
    "wnli": (["not_entailment", "entailment"], ["accuracy"]),
    "squad": ([], ["f1", "exact_match"]),
}
# Numbers of classes in the paper's table 3; of TREC, its coarse kinds. The issues of
# complaints are known from the file only.
CLASSES = {
    "20newsgroups": 20,
    "cf_airline": 3,
    "cf_corporate_messaging": 4,
    "cf_disasters": 2,
    "cf_economic_news": 2,
    "cf_emotion": 13,
    "cf_global_warming": 2,
    "cf_political_audience": 2,
    "cf_political_bias": 2,
    "cf_political_message": 9,
    "cf_primary_emotions": 18,
    "cf_progressive_opinion": 3,
    "cf_progressive_stance": 4,
    "cf_us_economic_performance": 2,
    "customer_complaints": 0,
    "news_aggregator": 4,
    "sms_spam": 2,
    "trec": 6,
}


def write_rte(folder, label="entailment"):
    folder.mkdir()
    for name in ("train.tsv", "dev.tsv"):
        (folder / name).write_text(
            f"index\tsentence1\tsentence2\tlabel\n0\tP {name}\tH\t{label}\n"
        )


def test_names_labels_and_metrics():
    assert task_names() == (*BENCHMARKS, *CLASSES)
    for name, (labels, metrics) in BENCHMARKS.items():
        task = TASKS[name].task
        assert task.name == name
        assert list(task.labels) == labels
        assert list(task.metrics) == metrics


def test_kinds_and_outputs():
    classes = {name: len(TASKS[name].task.labels) for name in BENCHMARKS}
    assert classes == {
        **dict.fromkeys(BENCHMARKS, 2),
        "mnli": 3,
        "stsb": 0,
        "squad": 0,
    }
    assert TASKS["stsb"].task.kind == "regression"
    assert TASKS["squad"].task.kind == "question_answering"
    assert TASKS["cola"].task.text_columns == ("sentence",)


@pytest.mark.parametrize("name", CLASSES)
def test_text_tasks(name):
    task = TASKS[name].task
    assert (task.name, task.kind) == (name, "classification")
    assert task.text_columns == ("text",)
    assert task.metrics == ("accuracy", "f1_macro")
    assert len(task.labels) == len(set(task.labels)) == CLASSES[name]
    if name != "cf_progressive_opinion":
        assert list(task.labels) == sorted(task.labels)


@pytest.mark.parametrize("name", (*BENCHMARKS, *CLASSES))
def test_tasks_survive_json(name):
    task = TASKS[name].task
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    with pytest.raises(UserError, match="A task has the fields .*Received: colour"):
        Task.from_dict(task.to_dict() | {"colour": "red"})


def test_local_files(tmp_path):
    write_rte(tmp_path / "RTE")
    data = load_task("rte", tmp_path)
    assert data.task is TASKS["rte"].task
    assert data.train.texts == (["P train.tsv"], ["H"])
    assert data.dev.texts == (["P dev.tsv"], ["H"])
    assert data.extra_dev == {}


def test_text_task_from_files(tmp_path):
    rows = "".join(f"ham\ttext {i}\n" for i in range(10))
    (tmp_path / "SMSSpamCollection").write_text(rows)
    data = load_task("sms_spam", tmp_path)
    assert data.task == TASKS["sms_spam"].task
    assert (len(data.train), len(data.dev)) == (8, 1)
    assert {name: len(rows) for name, rows in data.extra_dev.items()} == {"test": 1}


def test_labels_that_only_the_file_knows(tmp_path):
    rows = "".join(f"{i % 2} fee,story {i}\n" for i in range(20))
    path = tmp_path / "customer_complaints" / "complaints.csv"
    path.parent.mkdir()
    path.write_text("Issue,Consumer complaint narrative\n" + rows)
    data = load_task("customer_complaints", tmp_path)
    assert data.task.labels == ("0 fee", "1 fee")
    assert np.bincount(data.train.labels).tolist() == [8, 8]
    assert TASKS["customer_complaints"].task.labels == ()


@pytest.mark.parametrize("name", CLASSES)
def test_text_tasks_need_a_folder(name, tmp_path):
    with pytest.raises(UserError, match=f"rows of {name} are read from.*--data_dir"):
        load_task(name)
    with pytest.raises(DataError, match=f"data of {name} must be .*{tmp_path}/{name}"):
        load_task(name, tmp_path)


def test_local_squad(tmp_path):
    def content(question):
        qa = {
            "id": "1",
            "question": question,
            "answers": [{"text": "Ada", "answer_start": 0}],
        }
        paragraphs = [{"context": "Ada met Babbage.", "qas": [qa]}]
        return json.dumps({"version": "1.1", "data": [{"paragraphs": paragraphs}]})

    with pytest.raises(DataError, match="train-v1.1.json and dev-v1.1.json"):
        load_task("squad", tmp_path)
    (tmp_path / "squad").mkdir()
    (tmp_path / "squad" / "train-v1.1.json").write_text(content("Who?"))
    (tmp_path / "squad" / "dev-v1.1.json").write_text(content("Whom?"))
    data = load_task("squad", tmp_path)
    assert data.train.questions == ["Who?"]
    assert data.dev.questions == ["Whom?"]


def test_tfds_is_the_source_without_a_folder(monkeypatch):
    rows = Examples((["a"], ["b"]), np.zeros(1, np.int32))
    calls = []

    def load(*arguments):
        calls.append(arguments)
        return {"train": rows, "dev": rows, "mismatched": rows}

    monkeypatch.setattr(tfds_source, "load_tfds_glue", load)
    data = load_task("mnli", tfds_data_dir="/prepared")
    assert calls == [("mnli", "/prepared")]
    assert data.train is rows and data.dev is rows
    assert data.extra_dev == {"mismatched": rows}


def test_squad_from_tfds(monkeypatch):
    calls = []

    def load(*arguments):
        calls.append(arguments)
        return {"train": "t", "dev": "d"}

    monkeypatch.setattr(tfds_source, "load_tfds_squad", load)
    data = load_task("squad")
    assert (data.train, data.dev, data.extra_dev) == ("t", "d", {})
    assert calls == [(None,)]


def test_unknown_name():
    with pytest.raises(UserError, match="one of cola, sst2.*'SST-2'.*mean 'sst2'"):
        load_task("SST-2")
    with pytest.raises(UserError, match="sms_spam, trec. Received: 'xyz'$"):
        load_task("xyz")
