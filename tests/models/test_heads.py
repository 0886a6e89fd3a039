"""The heads, their losses and their metrics, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.errors import AdapterFileError
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.multi_label import AdapterMultiLabelClassifier
from adapters_tf.tasks.question_answering import AdapterQuestionAnswerer, SpanLoss
from adapters_tf.tasks.regression import AdapterTextRegressor


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def features_in_numpy(outputs, mask, head_input):
    sequence = outputs["sequence_output"].numpy().astype(np.float64)
    if head_input == "pooled":
        return outputs["pooled_output"].numpy().astype(np.float64)
    if head_input == "cls":
        return sequence[:, 0]
    weights = mask[:, :, None]
    return (sequence * weights).sum(axis=1) / weights.sum(axis=1)


@pytest.fixture
def classifier(adapted, randomize):
    def make(num_classes=3, **kwargs):
        model = AdapterTextClassifier(adapted(), num_classes=num_classes, **kwargs)
        randomize(model.get_layer("logits"), scale=1.0, seed=4)
        model.compile(run_eagerly=True)
        return model

    return make


@pytest.fixture
def regressor(adapted, randomize):
    def make(**kwargs):
        model = AdapterTextRegressor(adapted(), **kwargs)
        randomize(model.get_layer("logits"), scale=1.0, seed=4)
        model.compile(run_eagerly=True)
        return model

    return make


@pytest.fixture
def answerer(adapted, randomize):
    def make(**kwargs):
        model = AdapterQuestionAnswerer(adapted(), **kwargs)
        randomize(model.get_layer("logits"), scale=1.0, seed=4)
        model.compile(run_eagerly=True)
        return model

    return make


@pytest.mark.parametrize("head_input", ["cls", "pooled", "mean"])
def test_head_input(classifier, regressor, inputs, head_input):
    x = inputs()
    for make in (classifier, regressor):
        model = make(head_input=head_input)
        features = features_in_numpy(model.backbone(x), x["padding_mask"], head_input)
        logits = model.get_layer("logits")
        expected = features @ logits.kernel.numpy() + logits.bias.numpy()
        if make is regressor:
            expected = expected[:, 0]
        np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-5)
        assert model.predict(x, verbose=0).shape == expected.shape


def test_head_kernel_starts_as_in_the_reference(adapted):
    model = AdapterTextClassifier(adapted(), num_classes=500)
    kernel = model.get_layer("logits").kernel.numpy()
    assert 0.039 < np.abs(kernel).max() <= 0.04  # truncated at two sds of 0.02
    assert not model.get_layer("logits").bias.numpy().any()


def test_head_dropout(classifier, inputs):
    model = classifier(dropout=0.9)

    assert model.get_layer("head_dropout").rate == 0.9
    x = inputs()
    a, b = model(x, training=True), model(x, training=True)
    assert np.abs(a - b).max() > 0
    np.testing.assert_array_equal(model(x), model(x))


def test_padding_does_not_matter(classifier, answerer, inputs):
    x = inputs()
    x["padding_mask"][:, 8:] = 0
    shorter = {name: value[:, :8] for name, value in x.items()}
    for head_input in ("cls", "pooled", "mean"):
        model = classifier(head_input=head_input)
        np.testing.assert_allclose(model(shorter), model(x), rtol=1e-4, atol=1e-5)
    model = answerer()
    np.testing.assert_allclose(model(shorter), model(x)[:, :8], rtol=1e-4, atol=1e-5)


def test_classification_loss_and_accuracy(classifier, inputs):
    model, x, y = classifier(), inputs(8), np.arange(8) % 3
    logits = model.predict(x, verbose=0).astype(np.float64)
    losses = -log_softmax(logits)[np.arange(8), y]
    result = model.evaluate(x, y, batch_size=3, verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx(losses.mean(), rel=1e-6)
    assert result["accuracy"] == (logits.argmax(axis=1) == y).mean()
    np.testing.assert_allclose(model.example_losses(y, logits), losses, rtol=1e-6)


@pytest.mark.parametrize("classes", [1, 3])
def test_multi_label_loss_and_accuracy(adapted, randomize, inputs, classes):
    model, x = AdapterMultiLabelClassifier(adapted(), classes), inputs(8)
    randomize(model.get_layer("logits"), scale=1.0, seed=4)
    model.compile(run_eagerly=True)
    y = np.random.default_rng(3).integers(2, size=(8, classes)).astype("float32")
    logits = model.predict(x, verbose=0).astype(np.float64)
    p = 1 / (1 + np.exp(-logits))
    losses = -np.where(y == 1, np.log(p), np.log(1 - p)).mean(axis=1)
    result = model.evaluate(x, y, batch_size=3, verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert result["binary_accuracy"] == pytest.approx(((p >= 0.5) == y).mean())
    np.testing.assert_allclose(model.example_losses(y, logits), losses, rtol=1e-5)
    assert model.head_config()["num_classes"] == classes


@pytest.mark.parametrize("shape", [(8,), (8, 1)])
def test_sample_weight(classifier, regressor, inputs, shape):
    x, y, weights = inputs(8), np.arange(8) % 3, np.arange(8.0)
    model = classifier()
    logits = model.predict(x, verbose=0).astype(np.float64)
    losses = -log_softmax(logits)[np.arange(8), y]
    result = model.evaluate(
        x, y.reshape(shape), 3, sample_weight=weights.reshape(shape), verbose=0
    )
    assert result[0] == pytest.approx(
        (losses * weights).sum() / weights.sum(), rel=1e-6
    )
    model = regressor()
    losses = (model.predict(x, verbose=0).astype(np.float64) - y) ** 2
    result = model.evaluate(
        x, y.reshape(shape), 3, sample_weight=weights.reshape(shape), verbose=0
    )
    result = result[0] if isinstance(result, list) else result
    assert result == pytest.approx((losses * weights).sum() / weights.sum(), rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("shape", [(8,), (8, 1)])
def test_regression_loss(regressor, inputs, shape, dtype):
    model, x, y = regressor(), inputs(8), np.arange(8) % 3
    losses = (model.predict(x, verbose=0).astype(np.float64) - y) ** 2
    labels = y.astype(dtype).reshape(shape)
    result = model.evaluate(x, labels, batch_size=3, verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx(losses.mean(), rel=1e-6)


def test_span_loss(answerer, inputs):
    model, x = answerer(), inputs(8)
    y = np.stack([np.arange(8) % 3, np.arange(8) % 2 + 1], axis=1)
    logits = model.predict(x, verbose=0).astype(np.float64)
    assert logits.shape == (8, 12, 2)
    assert (logits[x["padding_mask"] == 0] == -1e9).all()
    assert (np.abs(logits[x["padding_mask"] == 1]) < 100).all()
    start, end = log_softmax(logits[..., 0]), log_softmax(logits[..., 1])
    rows = np.arange(8)
    losses = -(start[rows, y[:, 0]] + end[rows, y[:, 1]]) / 2
    result = model.evaluate(x, y, batch_size=3, verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx(losses.mean(), rel=1e-6)
    np.testing.assert_allclose(model.example_losses(y, logits), losses, rtol=1e-6)
    assert float(SpanLoss()(y, logits)) == pytest.approx(losses.mean(), rel=1e-6)


def test_span_logits_in_numpy(answerer, inputs):
    model, x = answerer(), inputs(4)
    sequence = model.backbone(x)["sequence_output"].numpy()
    head = model.get_layer("logits")
    expected = sequence @ head.kernel.numpy() + head.bias.numpy()
    tokens = x["padding_mask"] == 1
    np.testing.assert_allclose(model(x)[tokens], expected[tokens], rtol=1e-4, atol=1e-5)


def test_feature_based_transfer_reads_fixed_features(adapted, inputs):
    model = AdapterTextClassifier(
        adapted(None), num_classes=2, tuning="head", dropout=0
    )
    x = inputs()
    np.testing.assert_array_equal(model(x, training=True), model(x, training=False))
    # The same with another method is noisy in training.
    model = AdapterTextClassifier(
        adapted(None), num_classes=2, tuning="full", dropout=0
    )
    assert np.abs(model(x, training=True) - model(x, training=False)).max() > 0


def test_logits_are_float32_under_mixed_precision(adapted, inputs):
    def backbone():
        return adapted(dtype="mixed_bfloat16")

    for model in (
        AdapterTextClassifier(backbone(), num_classes=3),
        AdapterTextClassifier(backbone(), num_classes=3, head_input="mean"),
        AdapterTextRegressor(backbone()),
        AdapterQuestionAnswerer(backbone()),
    ):
        assert model(inputs()).dtype == tf.float32


@pytest.mark.parametrize("n", [1, 0])
def test_number_of_classes(adapted, n):
    with pytest.raises(ValueError, match=f"2 or more. Received: num_classes={n}"):
        AdapterTextClassifier(adapted(), num_classes=n)


def test_unknown_head_input(adapted):
    with pytest.raises(ValueError, match="one of cls, pooled, mean. .*'first'"):
        AdapterTextClassifier(adapted(), num_classes=2, head_input="first")


def test_loss_must_have_a_value_per_example(adapted):
    model = AdapterTextRegressor(adapted())
    model.compile(loss=lambda y, p: 0.0)
    with pytest.raises(ValueError, match="return a value per example"):
        model.example_losses(np.float32([1, 2]), np.float32([1, 5]))
    model.compile(loss=keras.losses.MeanAbsoluteError())
    losses = model.example_losses(np.float32([1, 2]), np.float32([1, 5]))
    np.testing.assert_array_equal(losses, [0, 3])


def test_hidden_layer(adapted, randomize, inputs, tmp_path):
    x = inputs()
    for make in (AdapterTextClassifier, AdapterTextRegressor):
        kwargs = {"num_classes": 3} if make is AdapterTextClassifier else {}
        model = make(adapted(), hidden_layer=True, **kwargs)
        hidden, logits = (model.get_layer(n) for n in ("head_hidden", "logits"))
        randomize(hidden, seed=5), randomize(logits, seed=6)
        features = features_in_numpy(model.backbone(x), x["padding_mask"], "cls")
        features = np.tanh(features @ hidden.kernel.numpy() + hidden.bias.numpy())
        expected = features @ logits.kernel.numpy() + logits.bias.numpy()
        expected = expected if kwargs else expected[:, 0]
        np.testing.assert_allclose(model(x), expected, atol=1e-5)
        assert model.head_config()["hidden_layer"] is True
        # It is trained, and saved with the task.
        paths = {v.path for v in model.trainable_variables}
        assert {"head_hidden/kernel", "head_hidden/bias", "logits/kernel"} <= paths
        assert set(model.get_adapter().tensors) == paths
        model.save(tmp_path / "model.keras")
        read = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(read(x), model(x))
        plain = make(adapted(), **kwargs)
        assert "hidden_layer" not in plain.head_config()
        with pytest.raises(AdapterFileError, match="head must be the model's"):
            plain.set_adapter(model.get_adapter())
