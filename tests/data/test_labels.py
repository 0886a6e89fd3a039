"""Labels of files as class indices and scores."""

import numpy as np
import pytest

from adapters_tf.data.labels import (
    encode_class_labels,
    encode_scores,
    infer_labels,
    parse_number,
)
from adapters_tf.errors import DataError


@pytest.mark.parametrize(
    "raw, expected",
    [
        (["10", "9", "-1", "10"], ("-1", "9", "10")),
        (["item10", "item2", "a"], ("a", "item2", "item10")),
        (["spam", "ham", "spam"], ("ham", "spam")),
        (["b", "1"], ("1", "b")),
        (["01", "1"], ("01", "1")),
        (["1", "1.0", "2.0", "a"], ("1", "2.0", "a")),
    ],
)
def test_infer_labels_in_natural_order(raw, expected):
    assert infer_labels(raw) == expected


def test_infer_labels_refuses_one_class():
    with pytest.raises(DataError, match="at least two classes.*3 rows, all .* 'x'"):
        infer_labels(["x"] * 3)


def test_infer_labels_refuses_identifiers_and_numbers():
    with pytest.raises(DataError, match="20 distinct .* in 20 rows.*label_kind=number"):
        infer_labels([str(i) for i in range(20)])
    with pytest.raises(DataError, match="1001 distinct"):
        infer_labels([str(i % 1001) for i in range(3003)])


def test_infer_labels_takes_many_classes_with_several_rows_each():
    labels = infer_labels([str(i % 1000) for i in range(2000)])
    assert len(labels) == 1000
    assert labels[999] == "999"


def test_encode_class_labels():
    encoded = encode_class_labels(["b", "a", "b"], ("a", "b"))
    assert encoded.dtype == np.int32
    np.testing.assert_array_equal(encoded, [1, 0, 1])


def test_encode_other_spellings_of_a_number():
    labels = ("01", "1", "2.0")
    assert encode_class_labels(["1.0", "01", "2", "1e0"], labels).tolist() == [
        1,
        0,
        2,
        1,
    ]
    with pytest.raises(DataError, match="'1_0' at row 1"):
        encode_class_labels(["1_0"], labels)


def test_unknown_label_names_value_place_and_known_labels():
    with pytest.raises(DataError, match=r"\(a, b\).*'c' at row 2 \(2 of 3 rows"):
        encode_class_labels(["a", "c", "d"], ("a", "b"))
    with pytest.raises(DataError, match="'c' at f.csv, line 7"):
        encode_class_labels(["a", "c"], ("a", "b"), lines=[2, 7], path="f.csv")


def test_encode_scores():
    scores = encode_scores(["1", "-2.5", "1e-3"])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, [1, -2.5, 0.001])


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-Infinity", "1e39", "x", "1,5", "1_0"]
)
def test_bad_score(value):
    with pytest.raises(DataError, match=f"finite number.*'{value}' at f.csv, line 3"):
        encode_scores(["1.0", value], lines=[2, 3], path="f.csv")


def test_parse_number():
    assert parse_number("2.5") == 2.5
    assert parse_number("two") is None
    assert parse_number("1_000") is None
