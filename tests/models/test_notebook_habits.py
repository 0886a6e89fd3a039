"""What people do in notebooks: it works, or says what would."""

import copy
import pickle

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from adapters_tf.errors import DataError, UserError
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.multi_label import AdapterMultiLabelClassifier
from adapters_tf.tasks.question_answering import AdapterQuestionAnswerer
from adapters_tf.tasks.regression import AdapterTextRegressor
from adapters_tf.tasks.token_classification import AdapterTokenClassifier

TEXTS = ["the film was good", "so very bad", "a fine plot", "poor", "good", "bad film"]
OTHERS = ["it was good", "the plot", "cafe", "on", "er", "bad"]
NAMES = ["good", "bad", "good", "bad", "good", "bad"]
LABELS = [1, 0, 1, 0, 1, 0]


@pytest.fixture
def classifier(adapted, preprocessor):
    model = AdapterTextClassifier(adapted(), 2, preprocessor)
    model.compile(run_eagerly=True)
    return model


@pytest.fixture
def make(adapted, preprocessor):
    def make(cls, **kwargs):
        model = cls(adapted(), preprocessor=preprocessor, **kwargs)
        model.compile(run_eagerly=True)
        return model

    return make


def weights(model):
    return {v.path: v.numpy() for v in model.trainable_variables}


@pytest.fixture
def expected(classifier):
    """The weights after one epoch on lists, and those before it."""
    before = weights(classifier)
    classifier.fit(TEXTS, LABELS, batch_size=4, validation_split=0.34, verbose=0)
    after = weights(classifier)
    for variable in classifier.trainable_variables:
        variable.assign(before[variable.path])
    classifier.compile(run_eagerly=True)
    return after


def arrow(values):
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.array(values)


COLUMNS = {
    "Series": (pd.Series, pd.Series),
    "object Series": (lambda t: pd.Series(t, dtype=object), np.array),
    "string Series": (lambda t: pd.Series(t, dtype="string"), pd.Series),
    "shuffled index": (
        lambda t: pd.Series(t, index=range(len(t), 0, -1)),
        lambda y: pd.Series(y, index=range(len(y))),
    ),
    "Categorical": (pd.Categorical, pd.Categorical),
    "categorical Series": (lambda t: pd.Series(t, dtype="category"), pd.Series),
    "Index": (pd.Index, pd.Index),
    "table": (lambda t: pd.DataFrame({"review": t}), lambda y: pd.DataFrame({"y": y})),
    "dictionary": (lambda t: {"review": t}, list),
    "arrow": (arrow, arrow),
    "array": (np.array, lambda y: np.array(y)[:, None]),
    "tensor": (tf.constant, tf.constant),
    "booleans": (list, lambda y: [bool(v) for v in y]),
    "floats": (list, lambda y: np.array(y, np.float64)),
}


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
def test_columns_train_as_lists_do(classifier, expected, columns):
    x, y = (make(values) for make, values in zip(columns, (TEXTS, LABELS), strict=True))
    classifier.fit(x, y, batch_size=4, validation_split=0.34, verbose=0)
    for path, value in weights(classifier).items():
        np.testing.assert_array_equal(value, expected[path], err_msg=path)
    np.testing.assert_array_equal(
        classifier.predict(x, verbose=0), classifier.predict(TEXTS, verbose=0)
    )
    assert classifier.evaluate(x, y, verbose=0) == classifier.evaluate(
        TEXTS, LABELS, verbose=0
    )


@pytest.mark.parametrize(
    "x, columns",
    [
        (pd.DataFrame({"a": TEXTS, "b": OTHERS}), ("a", "b")),
        ({"a": pd.Series(TEXTS), "b": OTHERS}, ("a", "b")),
        ((pd.Series(TEXTS), np.array(OTHERS)), ("text", "text_pair")),
    ],
)
def test_two_columns_are_a_pair(classifier, x, columns):
    classifier.fit(x, LABELS, verbose=0)
    assert classifier.text_columns == columns
    assert classifier.get_adapter().task["text_columns"] == list(columns)
    np.testing.assert_array_equal(
        classifier.predict(x, verbose=0), classifier.predict((TEXTS, OTHERS), verbose=0)
    )


def test_a_pair_in_a_dataset_is_known_as_one(classifier):
    data = tf.data.Dataset.from_tensor_slices(((TEXTS, OTHERS), LABELS)).batch(4)
    classifier.fit(data, verbose=0)
    assert classifier.text_columns == ("text", "text_pair")


# Labels.


def test_names_are_learned_in_natural_order_and_kept(make, tmp_path):
    names = ["item10", "item2", "item2", "item10", "item1", "item1"]
    model = make(AdapterTextClassifier, num_classes=3)
    model.fit(TEXTS, names, validation_data=(TEXTS, names), verbose=0)
    assert model.labels == ("item1", "item2", "item10")
    assert model.get_adapter().task["labels"] == ["item1", "item2", "item10"]
    numbers = [2, 1, 1, 2, 0, 0]
    assert model.evaluate(TEXTS, names, verbose=0) == model.evaluate(
        TEXTS, numbers, verbose=0
    )
    model.save(tmp_path / "m.keras")
    read = keras.saving.load_model(tmp_path / "m.keras")
    assert (read.labels, read.text_columns) == (model.labels, ("text",))
    with pytest.raises(DataError, match="one of item1, item2, item10. .* row 1 with"):
        read.evaluate(TEXTS[:2], ["item1", "item3"], verbose=0)


def test_a_missing_name_is_not_learned(make):
    model = make(AdapterTextClassifier, num_classes=3)
    y = np.array([*NAMES[:5], np.nan])  # NumPy makes it the text "nan".
    with pytest.raises(DataError, match="No label may be missing.*bad, good, nan"):
        model.fit(TEXTS, y, verbose=0)
    model = make(AdapterTextClassifier, num_classes=3, labels=["good", "bad", "nan"])
    model.fit(TEXTS, y, verbose=0)


def test_names_that_are_given(make):
    model = make(AdapterTextClassifier, num_classes=2, labels=["good", "bad"])
    model.fit(TEXTS, NAMES, verbose=0)
    assert model.labels == ("good", "bad")
    assert model.evaluate(TEXTS, NAMES, verbose=0) == model.evaluate(
        TEXTS, [0, 1, 0, 1, 0, 1], verbose=0
    )


def test_several_labels(make):
    names = [["a", "b"], [], ["b"], ["a"], ["a"], ["b"]]
    zeros_and_ones = np.array([[1, 1], [0, 0], [0, 1], [1, 0], [1, 0], [0, 1]])
    model = make(AdapterMultiLabelClassifier, num_classes=2)
    model.fit(TEXTS, names, verbose=0)
    assert model.labels == ("a", "b")
    table = pd.DataFrame(zeros_and_ones, columns=["a", "b"])
    results = [
        model.evaluate(TEXTS, y, verbose=0) for y in (names, zeros_and_ones, table)
    ]
    assert results[0] == results[1] == results[2]
    other = make(AdapterMultiLabelClassifier, num_classes=2)
    other.fit(TEXTS, table, verbose=0)
    assert other.labels == ("a", "b")


def test_tags_by_name(make):
    sentences = [["good", "film"], ["bad"], ["the", "plot", "was"]]
    model = make(AdapterTokenClassifier, num_classes=3)
    model.fit(sentences, [["B", "O"], ["O"], ["A", "O", "O"]], verbose=0)
    assert model.labels == ("O", "A", "B")
    assert model.evaluate(
        sentences, [["B", "O"], ["O"], ["A", "O", "O"]], verbose=0
    ) == model.evaluate(sentences, [[2, 0], [0], [1, 0, 0]], verbose=0)


NAN = float("nan")
WRONG_ROWS = [
    (AdapterTextClassifier, [], [], "one at least. Received: 0"),
    (AdapterTextClassifier, ("good", "bad"), LABELS[:2], "a list of texts, or a tuple"),
    (AdapterTextClassifier, TEXTS, None, "need labels beside the texts"),
    (AdapterTextClassifier, TEXTS, LABELS[:5], "one label for each row. .* 5 for 6"),
    (AdapterTextClassifier, TEXTS, [0, 1, 2, 0, 1, 0], "from 0 to 1. .*row 2 with 2"),
    (AdapterTextClassifier, TEXTS, [0, 1, -1, 0, 1, 0], "row 2 with -1"),
    (AdapterTextClassifier, TEXTS, [0, 1, 0.5, 0, 1, 0], "row 2 with 0.5"),
    (AdapterTextClassifier, TEXTS, [0, NAN, 0, 0, 1, 0], "finite .*row 1 with nan"),
    (AdapterTextClassifier, TEXTS, [0, None, 0, 0, 1, 0], "numbers. .*row 1 with None"),
    (AdapterTextClassifier, TEXTS, ["a", None, "b"] * 2, "not both. .*row 1 with None"),
    (AdapterTextClassifier, TEXTS, ["a", "b", "c"] * 2, "model's 2 classes.* 3 names"),
    (AdapterTextClassifier, TEXTS, np.eye(2)[LABELS], r"argmax\(axis=1\), or compile"),
    (AdapterTextClassifier, [*TEXTS[:5], None], LABELS, "row 5 with None, a NoneType"),
    (AdapterTextClassifier, [NAN, *TEXTS[1:]], LABELS, "row 0 with nan, a float"),
    (AdapterTextClassifier, pd.Series([*TEXTS[:5], None]), LABELS, "row 5 with"),
    (AdapterTextClassifier, [*TEXTS[:5], " "], LABELS, "row 5 with an empty text"),
    (AdapterTextClassifier, (TEXTS, [*OTHERS[:5], ""]), LABELS, "row 5 of column 1"),
    (AdapterTextClassifier, (TEXTS, OTHERS[:5]), LABELS, "as each other.*: 6, 5"),
    (AdapterTextRegressor, TEXTS, [1, 2, NAN, 1, 1, 1], "finite .*row 2 with nan"),
    (AdapterTextRegressor, TEXTS, NAMES, "one number for each row"),
    (AdapterTextRegressor, TEXTS, np.ones((6, 2)), r"of shape \(6, 2\)"),
    (AdapterMultiLabelClassifier, TEXTS, LABELS, "a row of 2 zeros and ones"),
    (AdapterMultiLabelClassifier, TEXTS, [[0, 2]] * 6, r"row 0 with \[0, 2\]"),
    (AdapterMultiLabelClassifier, TEXTS, ["a", "b"] * 3, "row 0 with 'a'"),
]


@pytest.mark.parametrize("cls, x, y, message", WRONG_ROWS)
def test_rows_that_are_wrong(make, cls, x, y, message):
    model = make(cls, **({} if cls is AdapterTextRegressor else {"num_classes": 2}))
    before = weights(model)
    for call in (model.fit, model.evaluate):
        if isinstance(y, list) and "a" in y and call == model.evaluate:
            # Only `fit` learns names.
            message = "knows no names" if cls is AdapterTextClassifier else message
        with pytest.raises(DataError, match=f"(?s){message}"):
            call(x, y, verbose=0)
    for path, value in weights(model).items():
        np.testing.assert_array_equal(value, before[path])


def test_empty_texts_are_answered_but_not_learned(make):
    model, texts = make(AdapterTextClassifier, num_classes=2), ["good", "", " "]
    logits = model.predict(texts, verbose=0)
    expected = model(model.preprocessor(tf.constant(texts)))
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    with pytest.raises(DataError, match="row 1 with an empty text"):
        model.evaluate(texts, [0, 1, 0], verbose=0)


def test_scores_in_a_column_of_one(make):
    model = make(AdapterTextRegressor)
    flat = model.evaluate(TEXTS, np.arange(6.0), verbose=0)
    assert model.evaluate(TEXTS, np.arange(6.0)[:, None], verbose=0) == flat


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return np.array(TEXTS), np.array(LABELS)


@pytest.mark.parametrize(
    "x, arguments, message",
    [
        (Batches(), {}, "in memory, or a tf.data.Dataset of batches. .* a Batches"),
        (((TEXTS, LABELS) for _ in "a"), {}, "a generator. .*from_generator"),
        (
            tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)),
            {},
            "batches of rows. .*batch",
        ),
        (
            tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(2),
            {"validation_split": 0.5},
            "splits rows in memory",
        ),
        (None, {}, "Received: none"),
    ],
)
def test_other_sources_of_rows(classifier, x, arguments, message):
    with pytest.raises(DataError, match=message):
        classifier.fit(x, verbose=0, **arguments)


@pytest.mark.parametrize("fraction", [7.0, 1.0, -0.5, 0.999])
def test_a_split_that_is_none(classifier, fraction):
    with pytest.raises(ValueError, match="between 0 and 1 and leave rows in both"):
        classifier.fit(TEXTS, LABELS, validation_split=fraction, verbose=0)


@pytest.mark.parametrize(
    "cls, arguments",
    [
        (AdapterMultiLabelClassifier, {"num_classes": 2}),
        (AdapterTextRegressor, {}),
        (AdapterTokenClassifier, {"num_classes": 2}),
        (AdapterQuestionAnswerer, {}),
    ],
)
def test_class_weight_needs_one_class_each(make, cls, arguments):
    model = make(cls, **arguments)
    message = f"one class each.*of the kind {cls.kind}. Weigh rows with sample_weight"
    with pytest.raises(DataError, match=message):
        model.fit(TEXTS, np.zeros((6, 2)), class_weight={0: 2.0}, verbose=0)
    with pytest.raises(DataError, match=message):
        model.train_on_batch(TEXTS, np.zeros((6, 2)), class_weight={0: 2.0})


def test_class_weight_of_one_batch(classifier):
    before = weights(classifier)
    classifier.train_on_batch(np.array(TEXTS), np.array(LABELS), class_weight={0: 2.0})
    weighed = weights(classifier)["logits/bias"]
    for variable in classifier.trainable_variables:
        variable.assign(before[variable.path])
    classifier.compile(run_eagerly=True)
    classifier.train_on_batch(np.array(TEXTS), np.array(LABELS), 2.0 - np.array(LABELS))
    np.testing.assert_array_equal(weights(classifier)["logits/bias"], weighed)


# Losses.


@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        "SparseCategoricalCrossentropy",
        lambda y, p: keras.losses.sparse_categorical_crossentropy(
            y, p, from_logits=True
        ),
    ],
)
def test_losses_by_name_and_function(classifier, loss):
    expected = classifier.evaluate(TEXTS, LABELS, verbose=0)
    classifier.compile(loss=loss, run_eagerly=True)
    got = classifier.evaluate(TEXTS, LABELS, verbose=0)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_one_hot_labels_of_a_loss_that_reads_them(classifier):
    expected = classifier.evaluate(TEXTS, LABELS, verbose=0)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    for value in (loss, "categorical_crossentropy"):
        classifier.compile(loss=value, run_eagerly=True)
        got = classifier.evaluate(TEXTS, np.eye(2)[LABELS], verbose=0)
        np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "loss, message",
    [
        (
            keras.losses.sparse_categorical_crossentropy,
            r"keras.losses.SparseCategoricalCrossentropy\(from_logits=True\)",
        ),
        (
            keras.losses.SparseCategoricalCrossentropy(),
            r"keras.losses.SparseCategoricalCrossentropy\(from_logits=True\)",
        ),
        (keras.losses.MeanSquaredError, "loss must be one keras.losses.Loss"),
        ({"logits": "mse"}, "loss must be one keras.losses.Loss"),
    ],
)
def test_losses_that_would_be_wrong(classifier, loss, message):
    with pytest.raises(ValueError, match=message):
        classifier.compile(loss=loss)


def test_loss_weights_are_refused(classifier):
    with pytest.raises(ValueError, match="loss_weights weigh several outputs"):
        classifier.compile(loss_weights=[2.0])


def test_a_function_loss_is_saved(make, tmp_path):
    model = make(AdapterTextRegressor)
    model.compile(loss=keras.losses.mean_absolute_error)
    model.save(tmp_path / "m.keras")
    read = keras.saving.load_model(tmp_path / "m.keras")
    y = np.arange(6.0)
    got = read.evaluate(TEXTS, y, verbose=0)
    assert got == pytest.approx(np.abs(read.predict(TEXTS, verbose=0) - y).mean())


# Optimizers.


def test_gradients_are_accumulated_over_batches_with_masks_of_their_own(
    adapted, inputs
):
    x, model = inputs(), AdapterTextClassifier(adapted(), 2)
    optimizer = keras.optimizers.Adam(1e-3, gradient_accumulation_steps=2)
    model.compile(optimizer, run_eagerly=True)
    steps = []
    train_step = model.train_step

    def noted(data):
        from adapters_tf.models.optimizer import batch_number

        steps.append(int(batch_number(model.optimizer)))
        return train_step(data)

    model.train_step = noted
    before = weights(model)
    model.fit(x, [0, 1] * 4, batch_size=2, verbose=0)
    assert steps == [0, 1, 2, 3]
    assert int(optimizer.iterations) == 2
    assert any((weights(model)[path] != value).any() for path, value in before.items())


def test_accumulation_in_a_graph(adapted, inputs):
    model = AdapterTextClassifier(adapted(), 2)
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    model.fit(inputs(), [0, 1] * 4, batch_size=2, verbose=0)
    assert int(model.optimizer.iterations) == 2


# Copies.


def test_copies(classifier, inputs):
    config = classifier.get_config()
    copies = [copy.deepcopy(classifier), pickle.loads(pickle.dumps(classifier))]
    for model in (*copies, type(classifier).from_config(config)):
        assert type(model) is AdapterTextClassifier
        assert model.backbone is not classifier.backbone
        assert model(inputs()).shape == (8, 2)
    for model in copies:
        np.testing.assert_array_equal(model(inputs()), classifier(inputs()))
        assert model.get_adapter().base_fingerprint == classifier.backbone.fingerprint


@pytest.mark.parametrize("recursive", [False, True])
def test_keras_cannot_clone_it(classifier, recursive):
    # It makes a plain model that would train all of the base.
    with pytest.raises(UserError, match=r"clone_model.*copy.deepcopy\(model\) copies"):
        keras.models.clone_model(classifier, recursive=recursive)


def test_settings_of_compile_in_files_of_before(classifier):
    classifier.compile(run_eagerly=True, seed=5, clip_norm=None)
    config = classifier.get_compile_config()
    old = {k: v for k, v in config.items() if k != "step_settings"}
    for read in (config, old | {"seed": 5, "clip_norm": None}):
        classifier.compile()
        classifier.compile_from_config(read)
        assert (classifier.seed, classifier.clip_norm) == (5, None)


def test_questions_in_a_table(make):
    model = make(AdapterQuestionAnswerer)
    table = pd.DataFrame({"question": ["good film"], "context": ["the plot was fine"]})
    model.fit(table, [("plot", 4)], verbose=0)
    assert model.text_columns == ("question", "context")
