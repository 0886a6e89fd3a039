"""`fit`, `evaluate` and `predict`, as in a notebook."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.models.question_answerer import AdapterQuestionAnswerer
from adapters_tf.models.text_classifier import AdapterTextClassifier
from adapters_tf.models.text_regressor import AdapterTextRegressor

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


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS,
        np.array(TEXTS),
        tf.constant(TEXTS),
        (TEXTS, TEXTS[::-1]),
        (np.array(TEXTS), np.array(TEXTS[::-1])),
    ],
    ids=["list", "array", "tensor", "pair of lists", "pair of arrays"],
)
def test_strings(adapted, preprocessor, texts):
    model = AdapterTextClassifier(adapted(), num_classes=2, preprocessor=preprocessor)
    model.compile(run_eagerly=True)
    before = snapshot(model)
    history = model.fit(texts, LABELS, epochs=2, batch_size=3, verbose=0)
    assert list(history.history) == ["accuracy", "loss"]
    check_what_moved(before, model)
    logits = model.predict(texts, batch_size=3, verbose=0)
    assert logits.shape == (8, 2)
    # The same as from tensors that are made and padded by hand.
    pair = texts if isinstance(texts, tuple) else (texts,)
    tensors = preprocessor(tuple(map(tf.constant, pair)))
    np.testing.assert_allclose(model(tensors), logits, rtol=1e-4, atol=1e-5)
    results = model.evaluate(texts, LABELS, verbose=0, return_dict=True)
    assert results["accuracy"] == (logits.argmax(axis=1) == LABELS).mean()


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
    data = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(4)
    model.fit(data, validation_data=data, epochs=1, verbose=0)
    assert model.predict(data.map(lambda x, y: x), verbose=0).shape == (8, 2)


def test_tensors_with_callbacks(adapted, inputs, tmp_path):
    model = AdapterTextClassifier(adapted(), num_classes=2)
    x, path = inputs(8), tmp_path / "best.weights.h5"
    callbacks = [
        keras.callbacks.EarlyStopping(
            "val_loss", patience=0, min_delta=100.0, restore_best_weights=True
        ),
        keras.callbacks.ModelCheckpoint(
            path, save_weights_only=True, save_best_only=True, monitor="val_loss"
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
    other.load_weights(path)
    np.testing.assert_array_equal(
        other.predict(x, verbose=0), model.predict(x, verbose=0)
    )


def test_regression(adapted, preprocessor):
    model = AdapterTextRegressor(adapted(), preprocessor=preprocessor)
    model.compile(
        run_eagerly=True, metrics=[keras.metrics.MeanAbsoluteError(name="mae")]
    )
    before, scores = snapshot(model), LABELS * 2.5
    history = model.fit(
        (TEXTS, TEXTS[::-1]),
        scores,
        epochs=2,
        verbose=0,
        validation_data=((TEXTS, TEXTS[::-1]), scores),
    )
    check_what_moved(before, model)
    predicted = model.predict((TEXTS, TEXTS[::-1]), verbose=0)
    assert predicted.shape == (8,)
    expected = np.abs(predicted - scores).mean()
    assert history.history["val_mae"][-1] == pytest.approx(expected, rel=1e-5)


def test_question_answering(adapted, inputs):
    model = AdapterQuestionAnswerer(adapted())
    model.compile(run_eagerly=True)
    before, x = snapshot(model), inputs(8)
    model.fit(x, SPANS, epochs=2, verbose=0)
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
    x = inputs(8)
    # Every embedding moves only where its token is in the batch.
    model.fit(x, LABELS, epochs=2, batch_size=4, verbose=0)
    check_what_moved(before, model)


@pytest.mark.parametrize("head_input", ["cls", "mean"])
def test_overfits_eight_examples(adapted, preprocessor, head_input):
    model = AdapterTextClassifier(
        adapted(), num_classes=2, preprocessor=preprocessor, head_input=head_input
    )
    model.compile(keras.optimizers.Adam(1e-2))
    first = model.evaluate(TEXTS, LABELS, verbose=0)[0]
    model.fit(TEXTS, LABELS, batch_size=8, epochs=60, verbose=0)
    loss, accuracy = model.evaluate(TEXTS, LABELS, verbose=0)
    assert accuracy == 1
    assert loss < 0.1 < first


def test_same_seed_same_weights(adapted, inputs):
    def fit(seed):
        keras.utils.set_random_seed(1)
        model = AdapterTextClassifier(adapted(), num_classes=2)
        model.compile(seed=seed)
        # Whatever happened before does not matter, only the seed does.
        keras.random.normal((seed + 1,))
        model.fit(inputs(8), LABELS, epochs=2, batch_size=4, verbose=0)
        return snapshot(model)

    one, again, other = fit(0), fit(0), fit(1)
    for path, value in one.items():
        np.testing.assert_array_equal(again[path], value, err_msg=path)
    assert (one["logits/kernel"] != other["logits/kernel"]).any()


def test_under_xla(adapted, inputs):
    def fit(**kwargs):
        keras.utils.set_random_seed(1)
        model = AdapterTextClassifier(adapted(), num_classes=2)
        model.compile(**kwargs)
        model.fit(inputs(8), LABELS, epochs=2, batch_size=4, verbose=0)
        return snapshot(model)

    compiled = fit(jit_compile=True)
    for path, value in fit(run_eagerly=True).items():
        # The same dropout masks; else weights differ in the third place.
        np.testing.assert_allclose(compiled[path], value, atol=5e-5, err_msg=path)


def test_class_weight(adapted, inputs):
    # All weight on one class is training on its examples alone.
    def fit(**kwargs):
        keras.utils.set_random_seed(1)
        model = AdapterTextClassifier(adapted(), num_classes=2)
        model.compile(run_eagerly=True)
        model.fit(inputs(8), LABELS, verbose=0, **kwargs)
        return snapshot(model)["logits/bias"]

    weighted = fit(class_weight={0: 0.0, 1: 1.0})
    np.testing.assert_allclose(weighted, fit(sample_weight=LABELS * 1.0), atol=1e-6)
    assert (weighted != fit()).any()


def test_mixed_bfloat16_learns(adapted, inputs):
    model = AdapterTextClassifier(adapted(dtype="mixed_bfloat16"), num_classes=2)
    model.compile(run_eagerly=True)
    before = snapshot(model)
    model.fit(inputs(8), LABELS, epochs=2, verbose=0)
    check_what_moved(before, model)
    assert {v.dtype for v in model.weights} == {"float32"}


def test_mixed_float16_is_refused(adapted, inputs):
    # Keras would wrap the optimizer to divide the gradients by a loss scale.
    model = AdapterTextClassifier(adapted(dtype="mixed_float16"), num_classes=2)
    model.compile(run_eagerly=True)
    assert np.isfinite(model.predict(inputs(8), verbose=0)).all()
    with pytest.raises(ValueError, match="needs dtype='mixed_bfloat16'"):
        model.fit(inputs(8), LABELS, verbose=0)
