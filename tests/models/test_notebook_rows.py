"""Rows, labels and weights that people pass in notebooks: read, or refused clearly."""

import copy
import datetime

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from adapters_tf.errors import DataError, UserError
from adapters_tf.models.arrays import check_batch_size, check_dataset, in_memory
from adapters_tf.models.labels import (
    check_texts,
    read_classes,
    read_label_sets,
    read_tags,
)
from adapters_tf.models.loss_argument import read_loss, reads_rows
from adapters_tf.models.row_numbers import (
    read_class_weights,
    read_scores,
    read_spans,
    read_tag_indices,
    read_weights,
)
from adapters_tf.models.task_record import check_labels, check_num_classes
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.multi_label import AdapterMultiLabelClassifier
from adapters_tf.tasks.question_answering import AdapterQuestionAnswerer
from adapters_tf.tasks.token_classification import AdapterTokenClassifier

TEXTS = ["the film was good", "so very bad", "a fine plot", "poor"]
LABELS = [1, 0, 1, 0]
NAN = float("nan")


@pytest.fixture(scope="module")
def model(adapted):
    model = AdapterTextClassifier(adapted(), 2)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    return model


@pytest.mark.parametrize(
    "texts, came",
    [
        (tf.constant(["good", ""]), "row 1 with an empty text"),
        (tf.constant([1, 2]), "row 0 with 1, a int"),
        (["good", "bad \ud800"], "row 1 with one half of a surrogate pair"),
        ([("a", "b")], "row 0 with .*pairs of texts are a tuple of two columns"),
        (np.array([["a"], ["b"]]), r"row 0 with \['a'\], a list"),
    ],
)
def test_texts_that_are_wrong(texts, came):
    with pytest.raises(DataError, match=f"not empty. Received: {came}"):
        check_texts(texts)


@pytest.mark.parametrize(
    "x, came",
    [
        ("good", "a str. One text is a list of one"),
        ({"good"}, r"a set. list\(x\) has its rows in memory"),
        (np.array("good"), "a ndarray"),
        ((text for text in TEXTS), "a generator. .*from_generator"),
    ],
)
def test_what_is_no_column(x, came):
    assert not in_memory(x)
    with pytest.raises(DataError, match=f"rows in memory.* Received: {came}"):
        check_dataset(x)


@pytest.mark.parametrize(
    "columns, rule",
    [
        (TEXTS, r"pairs \(x, y\)"),
        (({"a": TEXTS}, LABELS), "a dictionary of a"),
        ((TEXTS, ["a", "b", "a", "b"]), "numbers, such as class indices. .*strings"),
    ],
)
def test_datasets_that_are_wrong(columns, rule):
    data = tf.data.Dataset.from_tensor_slices(columns).batch(2)
    with pytest.raises(DataError, match=rule):
        check_dataset(data)


def test_a_dataset_to_predict_needs_no_labels():
    check_dataset(tf.data.Dataset.from_tensor_slices(TEXTS).batch(2), labelled=False)


@pytest.mark.parametrize("size", [0, -1, 2.5, "3", True - 1])
def test_batch_sizes_that_are_wrong(model, inputs, size):
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="batch_size must be a whole number of 1"):
            call(inputs(4), LABELS, batch_size=size, verbose=0)
    with pytest.raises(ValueError, match=f"Received: batch_size={size!r}"):
        model.predict(inputs(4), batch_size=size, verbose=0)


def test_batch_sizes_of_numpy():
    check_batch_size(np.int64(3))
    check_batch_size(None)


@pytest.mark.parametrize("fraction", ["0.5", True, NAN])
def test_splits_that_are_none(model, inputs, fraction):
    with pytest.raises(ValueError, match=f"Received: validation_split={fraction!r}"):
        model.fit(inputs(4), LABELS, validation_split=fraction, verbose=0)


DATES = pd.to_datetime(["2020-01-01"] * 2)


@pytest.mark.parametrize(
    "labels, came",
    [
        (DATES.to_numpy(), "values of type datetime64"),
        ([datetime.timedelta(1)] * 2, "row 0 with datetime.timedelta"),
        (np.array([1, 2], "timedelta64[D]"), "values of type timedelta64"),
        (np.array([1, 2j]), "values of type complex128"),
        ([1.0, 1e300], r"row 1 with 1e\+300"),
        ([1, 10**400], "row 1 with 1000"),
    ],
)
def test_scores_that_are_no_numbers(labels, came):
    with pytest.raises(DataError, match=f"Labels must be .*numbers.* Received: {came}"):
        read_scores(labels)


def test_names_are_not_empty():
    with pytest.raises(
        DataError, match="No name of a class is empty. .*row 1 with ' '"
    ):
        read_classes(["a", " "], (" ", "a"), 2)
    with pytest.raises(DataError, match="strings that are not empty. .*'a', ''"):
        check_labels(["a", ""], 2)


@pytest.mark.parametrize("labels", ["ab", 5, {"a": 0, "b": 1}, [1, 2]])
def test_names_are_a_list_of_strings(labels):
    with pytest.raises(DataError, match="labels must be a list of strings"):
        check_labels(labels, 2)


def test_names_in_an_array():
    for column in (np.array(["a", "b"]), pd.Series(["a", "b"]), ("a", "b")):
        assert check_labels(column, 2) == ("a", "b")


@pytest.mark.parametrize("missing", [None, NAN, 3])
def test_a_row_without_its_list_of_labels(missing):
    with pytest.raises(DataError, match="a list of names. Received: row 1 with"):
        read_label_sets([["a"], missing, ["b"]], ("a", "b"), 2)


def test_labels_in_a_tuple_are_rows(model, inputs):
    expected = model.evaluate(inputs(4), LABELS, verbose=0)
    assert model.evaluate(inputs(4), tuple(LABELS), verbose=0) == expected


@pytest.mark.parametrize(
    "weights, came",
    [
        ([1, NAN, 1, 1], "finite numbers of float32. Received: row 1 with nan"),
        ([1, 1, np.inf, 1], "finite .*row 2 with inf"),
        ([1, 1, 1, 1e39], r"finite .*row 3 with 1e\+39"),
        ([1, 1, -1, 1], "0 or more. Received: row 2 with -1"),
        ([1, None, 1, 1], "numbers. Received: row 1 with None"),
        (["1", "1", "1", "1"], "one number for each row. .*type <U1"),
        (np.ones((4, 2)), r"one number for each row. .*\(4, 2\)"),
        ([1, 1, 1], " for each row. Received: 3 for 4"),
    ],
)
def test_weights_that_are_wrong(model, inputs, weights, came):
    before = [v.numpy() for v in model.trainable_variables]
    for call in (model.fit, model.evaluate):
        with pytest.raises(DataError, match=f"sample_weight.*{came}"):
            call(inputs(4), LABELS, sample_weight=weights, verbose=0)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_weights_of_any_library():
    expected = np.array([1, 0, 2], np.float32)
    for weights in ([1, 0, 2], pd.Series([1.0, 0, 2]), np.array([[1], [0], [2]])):
        np.testing.assert_array_equal(read_weights(weights), expected)


def test_class_weights_by_name():
    expected = {0: 1.0, 1: 2.5}
    assert read_class_weights({"no": 1, "yes": 2.5}, ("no", "yes"), 2) == expected
    assert read_class_weights({1: 2.5, np.int64(0): 1}, ("no", "yes"), 2) == expected


@pytest.mark.parametrize(
    "weights, came",
    [
        ({0: 2.0}, r"for each class, 0 to 1. Received: class_weight=\{0: 2.0\}"),
        ({0: 1, 1: 1, 7: 2}, "for each class, 0 to 1"),
        ({"a": 1, "b": 1}, "for each class, 0 to 1"),
        ([1, 2], r"a dictionary .*class_weight=\[1, 2\]"),
        ({}, "a dictionary .*class_weight={}"),
        ({0: 1, 1: NAN}, "0 or more. Received: nan for the class 1"),
        ({0: -1, 1: 1}, "0 or more. Received: -1 for the class 0"),
        ({0: "a", 1: 1}, "0 or more. Received: 'a' for the class 0"),
    ],
)
def test_class_weights_that_are_wrong(model, inputs, weights, came):
    with pytest.raises(DataError, match=f"class_weight must .*{came}"):
        model.fit(inputs(4), LABELS, class_weight=weights, verbose=0)


@pytest.mark.parametrize(
    "tags, message",
    [
        ([[0, None]], "sentence at 0 must be numbers. Received: row 1 with None"),
        ([[0], [1, NAN]], "sentence at 1 must be finite numbers"),
        ([[0, 0.5]], r"sentence at 0 must be whole numbers. Received: \[0, 0.5\]"),
        ([0, 1], "sentence at 0 must be a list of numbers. Received: 0"),
    ],
)
def test_tags_that_are_wrong(tags, message):
    with pytest.raises(DataError, match=message):
        read_tag_indices(tags)


def test_a_sentence_without_its_list_of_tags():
    with pytest.raises(DataError, match="a list for each sentence. .*at 1 with None"):
        read_tags([["B"], None], ("O", "B"))


@pytest.mark.parametrize(
    "spans, message",
    [
        ([[1, 2], [1, 99]], r"positions from 0 to 11. Received: row 1 with \[1, 99\]"),
        ([[-1, 2], [1, 2]], r"row 0 with \[-1, 2\]"),
        ([[1, 2], [1.5, 2]], r"row 1 with \[1.5, 2.0\]"),
        ([[1, NAN], [1, 2]], "finite numbers .*row 0"),
        ([1, 2], r"of shape \(2, 2\). Received: \(2,\)"),
    ],
)
def test_spans_that_are_wrong(spans, message):
    with pytest.raises(DataError, match=message):
        read_spans(np.array(spans), 2, 12)


def test_windows_need_their_spans(adapted, inputs):
    answerer = AdapterQuestionAnswerer(adapted())
    answerer.compile(run_eagerly=True)
    with pytest.raises(DataError, match="positions from 0 to 11. .*row 2 with"):
        answerer.fit(inputs(3), [[1, 2], [0, 3], [1, 12]], verbose=0)
    with pytest.raises(DataError, match="one label for each row. Received: 1 for 3"):
        answerer.evaluate(inputs(3), [[1, 2]], verbose=0)
    with pytest.raises(DataError, match="need labels beside"):
        answerer.fit(inputs(3), verbose=0)


def test_columns_are_known_by_name(adapted, preprocessor):
    answerer = AdapterQuestionAnswerer(adapted(), preprocessor)
    classifier = AdapterTextClassifier(
        adapted(), 2, preprocessor, text_columns=["title", "review"]
    )
    for model, names in (
        (answerer, ["question", "context"]),
        (classifier, ["title", "review"]),
    ):
        table = pd.DataFrame({names[1]: ["the film was good"], names[0]: ["fine plot"]})
        (first, second), columns = model._columns(table)
        assert (list(first), list(second)) == (["fine plot"], ["the film was good"])
        assert columns == tuple(names)
    # Other names are columns in their order.
    x, columns = answerer._columns({"b": ["1"], "a": ["2"]})
    assert (x, columns) == ((["1"], ["2"]), ("b", "a"))


CLASSES = (
    AdapterTextClassifier,
    AdapterMultiLabelClassifier,
    AdapterTokenClassifier,
)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("number", ["2", 2.0, True, None, 0, -1, [0, 1]])
def test_numbers_of_classes_that_are_none(cls, number):
    with pytest.raises(UserError, match="num_classes, a whole number, must be . or"):
        check_num_classes(number, getattr(cls, "min_classes", 2))


def test_a_number_of_classes_from_numpy(adapted):
    model = AdapterTextClassifier(adapted(), np.int64(3))
    assert (model.num_classes, type(model.num_classes)) == (3, int)


@pytest.mark.parametrize("cls", [*CLASSES, AdapterQuestionAnswerer])
@pytest.mark.parametrize("value", ["demo", None, 2])
def test_backbones_that_are_none(cls, value):
    arguments = () if cls is AdapterQuestionAnswerer else (2,)
    with pytest.raises(UserError, match="on a backbone with adapters. Received: a "):
        cls(value, *arguments)


def test_arguments_in_other_places(adapted, preprocessor):
    backbone = adapted()
    with pytest.raises(UserError, match="on a backbone with adapters. Received: a int"):
        AdapterTextClassifier(2, backbone)
    with pytest.raises(UserError, match="num_classes=a BertTextClassifierPreprocessor"):
        AdapterTextClassifier(backbone, preprocessor)
    with pytest.raises(UserError, match="preprocessor must be .*Received: .*='cls'"):
        AdapterTextClassifier(backbone, 2, "cls")
    with pytest.raises(DataError, match="text_columns must be a list .*='text'"):
        AdapterTextClassifier(backbone, 2, text_columns="text")
    for tuning in (None, {"metod": "head"}):
        with pytest.raises(ValueError, match="tuning must be a Tuning, the name"):
            AdapterTextClassifier(backbone, 2, tuning=tuning)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes_that_do_not_train(adapted, inputs, dtype):
    model = AdapterTextClassifier(adapted(dtype=dtype), 2)
    model.compile(run_eagerly=True)
    with pytest.raises(ValueError, match=f"'mixed_bfloat16'. Received: .*{dtype}"):
        model.fit(inputs(4), LABELS, verbose=0)


@pytest.mark.parametrize("steps", ["auto", 0, 1.5, None])
def test_steps_per_execution_is_a_number(model, steps):
    with pytest.raises(ValueError, match=f"Received: steps_per_execution={steps!r}"):
        AdapterTextClassifier.compile(model, steps_per_execution=steps)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "mse"])
def test_indices_for_a_loss_of_one_hot_rows(adapted, inputs, loss):
    model = AdapterTextClassifier(adapted(), 2)
    model.compile(loss=loss, run_eagerly=True)
    one_hot = np.eye(2)[LABELS]
    expected = model.evaluate(inputs(4), one_hot, verbose=0)
    assert model.evaluate(inputs(4), LABELS, verbose=0) == expected
    logits = np.asarray(model(inputs(4)))
    assert expected[1] == (logits.argmax(axis=1) == LABELS).mean()
    if loss == "mse":
        assert expected[0] == pytest.approx(((logits - one_hot) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize(
    "change", [lambda layer: layer.enable_lora(2), lambda layer: layer.quantize("int8")]
)
def test_changed_layers_are_not_saved(adapted, tmp_path, change):
    model = AdapterTextClassifier(adapted(), 2)
    change(model.backbone.encoder_blocks[0]._feedforward_output_dense)
    for save in (
        lambda: model.save(tmp_path / "m.keras"),
        lambda: model.save_to_preset(tmp_path / "preset"),
        lambda: copy.deepcopy(model),
    ):
        with pytest.raises(UserError, match="Make the model anew to train or save it"):
            save()


class _Doubled(keras.losses.CategoricalCrossentropy):
    pass


class _Own(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return y_pred[:, 0]


@pytest.mark.parametrize(
    "loss, expected",
    [
        (_Doubled(from_logits=True), True),
        (keras.losses.MeanSquaredError(), True),
        (read_loss("mse"), True),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), False),
        (_Own(), False),
        (read_loss(lambda y, p: p[:, 0]), False),
    ],
)
def test_which_losses_read_one_hot_rows(loss, expected):
    assert reads_rows(loss) is expected
