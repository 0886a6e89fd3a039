"""Models through Keras's own file; a new process is tried in test_adapter_file."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.models.optimizer import AdamW, LinearWarmupDecay, create_optimizer
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.question_answering import AdapterQuestionAnswerer
from adapters_tf.tasks.regression import AdapterTextRegressor

LABELS = np.arange(8) % 2


def reload(model, path):
    model.save(path / "model.keras")
    return keras.saving.load_model(path / "model.keras")


@pytest.mark.parametrize(
    "adapter, tuning",
    [
        (AdapterConfig(4), "adapters"),
        (AdapterConfig(4, layers=(1,), sublayers=("attention",)), "adapters"),
        (None, "full"),
        (None, "layer_norm"),
        (None, "head"),
        (None, Tuning("top_n", 1)),
    ],
)
def test_frozen_state(adapted, inputs, tmp_path, adapter, tuning):
    model = AdapterTextClassifier(
        adapted(adapter), num_classes=3, tuning=tuning, head_input="mean", dropout=0.2
    )
    read = reload(model, tmp_path)
    assert type(read) is AdapterTextClassifier
    np.testing.assert_array_equal(read(inputs()), model(inputs()))
    assert [v.path for v in read.weights] == [v.path for v in model.weights]
    trained, expected = ([v.path for v in m.trainable_variables] for m in (read, model))
    assert trained == expected
    assert read.tuning == model.tuning
    assert read.get_config_of_adapter() == model.get_config_of_adapter()


@pytest.mark.parametrize("cls", [AdapterTextRegressor, AdapterQuestionAnswerer])
def test_other_models(adapted, inputs, tmp_path, cls):
    model = cls(adapted())
    read = reload(model, tmp_path)
    assert type(read) is cls
    np.testing.assert_array_equal(read(inputs()), model(inputs()))
    assert len(read.trainable_variables) == len(model.trainable_variables)
    assert read.get_config_of_adapter() == model.get_config_of_adapter()


def test_with_its_preprocessor(adapted, preprocessor, tmp_path):
    model = AdapterTextClassifier(adapted(), num_classes=2, preprocessor=preprocessor)
    read = reload(model, tmp_path)
    for m in (model, read):
        m.compile(run_eagerly=True)
    texts = ["good film", "so bad"]
    np.testing.assert_array_equal(
        read.predict(texts, verbose=0), model.predict(texts, verbose=0)
    )


def test_fit_goes_on_as_if_it_had_not_been_saved(adapted, inputs, tmp_path):
    model = AdapterTextClassifier(adapted(), num_classes=2)
    schedule = LinearWarmupDecay(1e-2, 100, 10)
    model.compile(
        create_optimizer(model.trainable_variables, schedule, weight_decay=0.5),
        seed=5,
        clip_norm=0.1,
        run_eagerly=True,
    )
    model.fit(inputs(8), LABELS, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of settings that are lost
        read = reload(model, tmp_path)
    assert type(read.optimizer) is AdamW
    assert (read.seed, read.clip_norm, read.run_eagerly) == (5, 0.1, True)
    assert int(read.optimizer.iterations) == 1
    for m in (model, read):
        m.fit(inputs(8), LABELS, verbose=0)
    for one, other in zip(model.weights, read.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)


def test_other_optimizers_and_losses_come_back(adapted, tmp_path):
    model = AdapterTextRegressor(adapted())
    model.compile(
        keras.optimizers.SGD(0.25), keras.losses.MeanAbsoluteError(), metrics=["mse"]
    )
    read = reload(model, tmp_path)
    assert type(read.optimizer) is keras.optimizers.SGD
    assert float(read.optimizer.learning_rate) == 0.25
    assert type(read.example_loss) is keras.losses.MeanAbsoluteError


def test_weights_file(adapted, inputs, randomize, tmp_path):
    model, other = (AdapterTextClassifier(adapted(), num_classes=2) for _ in range(2))
    randomize(model, seed=3)
    model.save_weights(tmp_path / "m.weights.h5")
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(other(inputs()), model(inputs()))


def test_saved_model_for_serving(adapted, inputs, tmp_path):
    model = AdapterTextClassifier(adapted(), num_classes=2)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    x = {name: tf.constant(value) for name, value in inputs().items()}
    np.testing.assert_allclose(served.serve(x), model(x), rtol=1e-5, atol=1e-6)
