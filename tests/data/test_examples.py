"""Rows of one kind where another is needed, and rows without labels."""

import dataclasses

import numpy as np
import pytest

from adapters_tf.data.examples import (
    Examples,
    QuestionExamples,
    TaskData,
    WordExamples,
    data_digests,
    rows_as,
)
from adapters_tf.models.task import Task

TEXTS = Examples((["a", "b"],), np.array([1, 0], np.int32))
QUESTIONS = QuestionExamples(["1"], ["who?"], ["She."], [("She",)], [(0,)])
WORDS = WordExamples([("a", "b")])


@pytest.mark.parametrize("rows", [TEXTS, QUESTIONS, WORDS])
def test_rows_as_returns_the_rows(rows):
    assert rows_as(type(rows), rows) is rows


@pytest.mark.parametrize(
    ("kind", "rows"),
    [(Examples, QUESTIONS), (QuestionExamples, WORDS), (WordExamples, TEXTS)],
)
def test_rows_as_refuses_another_kind(kind, rows):
    text = f"Rows must be {kind.__name__} here. Received: {type(rows).__name__}$"
    with pytest.raises(TypeError, match=text):
        rows_as(kind, rows)


def test_references_are_the_labels():
    assert TEXTS.references is TEXTS.labels


def test_rows_without_labels_have_no_references():
    with pytest.raises(ValueError, match="Received: 2 rows without labels"):
        Examples((["a", "b"],)).references  # noqa: B018


def digests(train, dev=TEXTS, labels=("x", "y"), **extra):
    task = Task("t", "classification", ("text",), labels)
    return data_digests(TaskData(task, train, dev, extra))


def test_digests_are_of_all_that_rows_hold():
    train = [
        TEXTS,
        Examples((["a", "b"],), np.array([0, 1], np.int32)),
        Examples((["a", "c"],), TEXTS.labels),
        Examples((["a", "b"],), np.array([1, 0], np.float32)),
        Examples((["a"], ["b"]), TEXTS.labels),
        Examples((["ab", ""],), TEXTS.labels),
        QUESTIONS,
        dataclasses.replace(QUESTIONS, answers=[("She.",)]),
        dataclasses.replace(QUESTIONS, starts=[(1,)]),
        WORDS,
        WordExamples([("a b",)]),
        dataclasses.replace(WORDS, tags=[np.array([0, 1], np.int32)]),
        dataclasses.replace(WORDS, tags=[np.array([1, 0], np.int32)]),
    ]
    found = [digests(rows)["train_rows_sha256"] for rows in train]
    assert len(set(found)) == len(train)
    # The same rows in other containers are the same rows.
    texts = np.array(["a", "b"], object)
    assert digests(Examples((texts,), TEXTS.labels)) == digests(TEXTS)
    assert digests(TEXTS, labels=("x", "z")) != digests(TEXTS)


def test_digests_of_dev_rows_and_further_splits():
    one, other = digests(TEXTS), digests(TEXTS, WORDS)
    assert one["train_rows_sha256"] == other["train_rows_sha256"]
    assert one["dev_rows_sha256"] != other["dev_rows_sha256"]
    assert digests(TEXTS, more=WORDS)["dev_rows_sha256"] != one["dev_rows_sha256"]
