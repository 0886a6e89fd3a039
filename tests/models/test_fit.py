"""`fit`, `evaluate` and `predict`, as in a notebook."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.models import tensorflow_task
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.tasks.build import build_model
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.question_answering import AdapterQuestionAnswerer
from adapters_tf.tasks.regression import AdapterTextRegressor

TEXTS = [
    "the film was good",
    "the film was bad",
    "so very fine, it was a good plot",
    "poor",
    "good",
    "a very poor film",
    "it was fine",
    "bad plots and the film was so poor in it at on er",
]
LABELS = np.array([1, 0, 1, 0, 1, 0, 1, 0])
PAIR = (TEXTS, TEXTS[::-1])
SPANS = np.stack([LABELS + 1, LABELS + 2], axis=1)


def snapshot(model):
    return {v.path: v.numpy() for v in model.weights}


def check_what_moved(before, model):
    """Frozen variables are bit-identical, every trained one has changed."""
    after, trained = snapshot(model), {v.path for v in model.trainable_variables}
    for path, value in before.items():
        if path in trained:
            assert (after[path] != value).any(), path
        else:
            np.testing.assert_array_equal(after[path], value, err_msg=path)


@pytest.mark.parametrize("texts", [TEXTS, PAIR], ids=["one text", "pair"])
def test_fit_and_evaluate_strings(adapted, preprocessor, texts):
    model = AdapterTextClassifier(adapted(), num_classes=2, preprocessor=preprocessor)
    model.compile(run_eagerly=True)
    before = snapshot(model)
    history = model.fit(texts, LABELS, batch_size=3, verbose=0)
    assert list(history.history) == ["accuracy", "loss"]
    check_what_moved(before, model)
    logits = model(preprocess_texts(preprocessor, texts)).numpy()
    results = model.evaluate(texts, LABELS, verbose=0, return_dict=True)
    assert results["accuracy"] == (logits.argmax(axis=1) == LABELS).mean()


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS,
        np.array(TEXTS),
        PAIR,
        tuple(np.array(texts) for texts in PAIR),
    ],
    ids=["list", "array", "pair of lists", "pair of arrays"],
)
def test_predict_strings(adapted, preprocessor, texts):
    model = AdapterTextClassifier(adapted(), num_classes=2, preprocessor=preprocessor)
    model.compile(run_eagerly=True)
    logits = model.predict(texts, batch_size=3, verbose=0)
    # The same as from tokens that are looked up and packed by hand.
    columns = texts if isinstance(texts, tuple) else (texts,)
    tokens = [preprocessor.tokenizer(tf.constant(column)) for column in columns]
    compared = 0
    for row, expected in enumerate(logits):
        ids, segments = [2], [0]
        for segment, column in enumerate(tokens):
            pieces = list(column[row])
            ids += [*pieces, 3]
            segments += [segment] * (len(pieces) + 1)
        if len(ids) <= 12:  # what is cut of a longer row is keras-hub's affair
            x = {
                "token_ids": ids,
                "segment_ids": segments,
                "padding_mask": [1] * len(ids),
            }
            x = {name: np.array([value]) for name, value in x.items()}
            np.testing.assert_allclose(model(x)[0], expected, rtol=1e-4, atol=1e-5)
            compared += 1
    assert compared >= 4


def test_strings_are_padded_to_the_longest_of_the_batch(adapted, preprocessor):
    model = AdapterTextClassifier(adapted(), num_classes=2, preprocessor=preprocessor)
    x, y, weight = model.preprocess_samples(
        tf.constant(["good", "the film"]), tf.constant([1, 0]), tf.constant([1.0, 2.0])
    )
    assert {name: tuple(value.shape) for name, value in x.items()} == {
        name: (2, 4) for name in ("token_ids", "segment_ids", "padding_mask")
    }
    np.testing.assert_array_equal(x["padding_mask"], [[1, 1, 1, 0], [1, 1, 1, 1]])
    np.testing.assert_array_equal(y, [1, 0])
    np.testing.assert_array_equal(weight, [1, 2])


def test_datasets_of_strings(adapted, preprocessor):
    model = AdapterTextClassifier(adapted(), num_classes=2, preprocessor=preprocessor)
    model.compile(run_eagerly=True)
    data = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(8)
    history = model.fit(data, validation_data=data, verbose=0)
    assert "val_loss" in history.history


@pytest.mark.parametrize("texts", [TEXTS, PAIR], ids=["one text", "pair"])
def test_texts_in_memory_and_in_a_dataset_are_the_same(
    adapted, preprocessor, texts, monkeypatch
):
    """Few rows in memory are tokenized at once, several at a time, without a graph."""
    monkeypatch.setattr(tensorflow_task, "_ROWS_AT_A_TIME", 3)
    model = AdapterTextClassifier(adapted(), num_classes=2, preprocessor=preprocessor)
    model.compile(run_eagerly=True)
    data = tf.data.Dataset.from_tensor_slices((texts, LABELS)).batch(3)
    assert list(model.tokenized(texts)) == ["tokenized"]
    expected = model.predict(data.map(lambda x, y: (x,)), verbose=0)
    np.testing.assert_array_equal(
        model.predict(texts, batch_size=3, verbose=0), expected
    )
    assert model.evaluate(texts, LABELS, batch_size=3, verbose=0) == model.evaluate(
        data, verbose=0
    )
    # So are many rows, for which the dataset's graph is worth its time.
    monkeypatch.setattr(tensorflow_task, "_MOST_TOKENS", 7 * 12)
    assert model.tokenized(texts) is texts
    np.testing.assert_array_equal(
        model.predict(texts, batch_size=3, verbose=0), expected
    )


def test_rows_tokenized_at_once_are_those_of_a_graph(adapted, preprocessor):
    """One to three texts of any length, cut where they do not fit."""
    model = AdapterTextClassifier(adapted(), num_classes=2, preprocessor=preprocessor)
    random = np.random.default_rng(5)
    words = np.array(" ".join(TEXTS).split())
    for number in (1, 2, 3):
        columns = tuple(
            [" ".join(random.choice(words, n)) for n in random.integers(0, 15, 200)]
            for _ in range(number)
        )
        texts = columns if number > 1 else columns[0]
        data = tf.data.Dataset.from_tensor_slices(texts).batch(200)
        if number > 1:
            data = data.map(lambda *x: (x,))
        (expected,) = data.map(lambda x: preprocess_texts(preprocessor, x))
        found = model.tokenized(texts)["tokenized"]
        assert found.keys() == expected.keys()
        for name, value in found.items():
            np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize("name", ["roberta", "albert"])
def test_other_tokenizers_run_in_a_graph(name, encoder_named):
    model = build_model(
        "classification",
        encoder_named(name).path,
        head={"num_classes": 2},
        seq_length=12,
    )
    assert model.tokenized(TEXTS) is TEXTS


def test_a_preprocessor_of_ones_own_runs_in_every_epoch(adapted, tokenizer):
    class Loud(keras_hub.models.BertTextClassifierPreprocessor):
        def call(self, x, y=None, sample_weight=None):
            tf.py_function(lambda: calls.append(1), [], [])
            return super().call(x, y, sample_weight)

    calls = []
    model = AdapterTextClassifier(adapted(), 2, Loud(tokenizer, sequence_length=12))
    model.compile(run_eagerly=True)
    model.fit(TEXTS, LABELS, epochs=3, batch_size=4, verbose=0)
    assert len(calls) == 3 * 2


def test_tensors_with_callbacks(adapted, inputs, tmp_path):
    model = AdapterTextClassifier(adapted(), num_classes=2)
    x = inputs(8)
    callbacks = [
        keras.callbacks.EarlyStopping(
            "val_loss", patience=0, min_delta=100.0, restore_best_weights=True
        ),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "{epoch}.weights.h5", save_weights_only=True
        ),
    ]
    before = snapshot(model)
    history = model.fit(
        x,
        LABELS,
        epochs=5,
        batch_size=4,
        validation_data=(x, LABELS),
        callbacks=callbacks,
        verbose=0,
    )
    assert len(history.history["val_loss"]) == 2  # stopped after the second
    check_what_moved(before, model)
    other = AdapterTextClassifier(adapted(), num_classes=2)
    other.load_weights(tmp_path / "1.weights.h5")  # the best, which was restored
    np.testing.assert_array_equal(other(x), model(x))


def test_regression(adapted, preprocessor):
    model = AdapterTextRegressor(adapted(), preprocessor=preprocessor)
    mae = keras.metrics.MeanAbsoluteError(name="mae")
    model.compile(run_eagerly=True, metrics=[mae])
    before, scores = snapshot(model), LABELS * 2.5
    model.fit(PAIR, scores, verbose=0)
    check_what_moved(before, model)
    predicted = model(preprocess_texts(preprocessor, PAIR)).numpy()
    assert predicted.shape == (8,)
    results = model.evaluate(PAIR, scores, verbose=0, return_dict=True)
    assert results["mae"] == pytest.approx(np.abs(predicted - scores).mean(), rel=1e-5)
    assert results["loss"] == pytest.approx(
        ((predicted - scores) ** 2).mean(), rel=1e-5
    )


def test_question_answering(adapted, inputs):
    model = AdapterQuestionAnswerer(adapted())
    model.compile(run_eagerly=True)
    before, x = snapshot(model), inputs(8)
    model.fit(x, SPANS, verbose=0)
    check_what_moved(before, model)
    assert model.predict(x, verbose=0).shape == (8, 12, 2)
    assert model.evaluate(x, SPANS, verbose=0) > 0


@pytest.mark.parametrize("tuning", ["full", "layer_norm", "head"])
def test_baselines_move_what_they_train(adapted, inputs, tuning):
    model = AdapterTextClassifier(
        adapted(None), num_classes=2, tuning=tuning, head_input="pooled"
    )
    model.compile(run_eagerly=True)
    before = snapshot(model)
    model.fit(inputs(8), LABELS, batch_size=4, verbose=0)
    check_what_moved(before, model)


def test_overfits_eight_examples(adapted, preprocessor):
    model = AdapterTextClassifier(adapted(), num_classes=2)
    model.compile(keras.optimizers.Adam(1e-2))
    x = preprocessor(TEXTS)
    first = model.evaluate(x, LABELS, verbose=0)[0]
    model.fit(x, LABELS, epochs=150, verbose=0)
    loss, accuracy = model.evaluate(x, LABELS, verbose=0)
    assert accuracy == 1
    assert loss < 0.1 < first


def fitted(adapted, inputs, compile_arguments, **kwargs):
    """Weights after one epoch of a model that is built the same each time."""
    keras.utils.set_random_seed(1)
    model = AdapterTextClassifier(adapted(), num_classes=2)
    model.compile(**compile_arguments)
    model.fit(inputs(8), LABELS, batch_size=4, verbose=0, **kwargs)
    return snapshot(model)


def test_same_seed_same_weights(adapted, inputs):
    one, again, other = (
        fitted(adapted, inputs, {"seed": seed, "run_eagerly": True})
        for seed in (0, 0, 1)
    )
    for path, value in one.items():
        np.testing.assert_array_equal(again[path], value, err_msg=path)
    assert (one["logits/kernel"] != other["logits/kernel"]).any()


def test_under_xla(adapted, inputs):
    compiled = fitted(adapted, inputs, {"jit_compile": True})
    for path, value in fitted(adapted, inputs, {"run_eagerly": True}).items():
        # The same dropout masks: with other ones Adam's first steps, of 1e-3
        # each, go elsewhere.
        np.testing.assert_allclose(compiled[path], value, atol=1e-4, err_msg=path)


def test_class_weight(adapted, inputs):
    eager = {"run_eagerly": True}
    weights = fitted(adapted, inputs, eager, class_weight={0: 0.0, 1: 1.0})
    expected = fitted(adapted, inputs, eager, sample_weight=LABELS * 1.0)
    bias = weights["logits/bias"]
    np.testing.assert_allclose(bias, expected["logits/bias"], atol=1e-6)
    assert np.abs(bias - fitted(adapted, inputs, eager)["logits/bias"]).max() > 1e-4


def test_mixed_bfloat16_learns(adapted, inputs):
    model = AdapterTextClassifier(adapted(dtype="mixed_bfloat16"), num_classes=2)
    model.compile(run_eagerly=True)
    before = snapshot(model)
    model.fit(inputs(8), LABELS, verbose=0)
    check_what_moved(before, model)
    assert {v.dtype for v in model.weights} == {"float32"}


def test_mixed_float16_is_refused(adapted, inputs):
    # Keras would wrap the optimizer to divide the gradients by a loss scale.
    model = AdapterTextClassifier(adapted(dtype="mixed_float16"), num_classes=2)
    model.compile(run_eagerly=True)
    assert np.isfinite(model.predict(inputs(8), verbose=0)).all()
    with pytest.raises(ValueError, match="needs dtype='mixed_bfloat16'"):
        model.fit(inputs(8), LABELS, verbose=0)
