"""Rows of one kind where another is needed, and rows without labels."""

import numpy as np
import pytest

from adapters_tf.data.examples import Examples, QuestionExamples, WordExamples, rows_as

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
