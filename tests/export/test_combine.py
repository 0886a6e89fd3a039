"""Base and adapter SavedModels put together, against the Keras models."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.adapters.graph_activations import ACTIVATIONS
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.export.combine import CombinedLayer, check_fits, load_exported
from adapters_tf.export.saving import constant_function
from adapters_tf.layers.activations import activation_code
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.tasks.build import build_model

TASKS = ("topics", "entails", "likeness", "questions", "norms", "fixed", "answers")
# Activations that are always looked at.
OFTEN = ("gelu_tanh", "relu", "silu")
TEXTS = ["the film was good", "Só SAD .", "", "a very lovely plot and so it was"]


def weights_of_loss(task, inputs):
    """Random weights of a task's outputs in a loss, 0 where there is padding."""
    random = np.random.default_rng(5)
    mask = inputs["input_mask"]
    if task.task["kind"] == "question_answering":
        return (random.normal(size=(*mask.shape, 2)) * mask[:, :, None]).astype("f")
    outputs = len(task.task["labels"])
    shape = (len(mask), outputs) if outputs else (len(mask),)
    return random.normal(size=shape).astype("float32")


def assert_outputs(got, task, inputs, as_keras):
    """Equal to those of the Keras model; padding is out of reach in both."""
    expected = task.model(as_keras(inputs), training=False).numpy()
    got = np.asarray(got)
    assert got.shape == expected.shape
    if expected.ndim == 3:
        inside = inputs["input_mask"] == 1
        assert (got[~inside] < -9e8).all()
        got, expected = got[inside], expected[inside]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def keras_gradients(model, inputs, weights):
    """Variable path -> gradient of the weighted sum of a model's outputs."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(inputs, training=False) * weights)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    return {v.path: g.numpy() for v, g in zip(variables, gradients, strict=True)}


# === With TensorFlow and nothing of ours ===

_PROGRAM = """
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("adapters_tf", "keras_hub", "tensorflow_text"):
            raise ImportError(f"{name} is not installed")


sys.meta_path.insert(0, Blocked())
import json

import keras
import numpy as np
import tensorflow as tf

base_dir, other_base_dir, tasks, folder = sys.argv[1:]
tasks = json.loads(tasks)
arrays = dict(np.load(f"{folder}/inputs.npz"))
names = ("input_word_ids", "input_mask", "input_type_ids")
arrays_in = {name: arrays[name] for name in names}
inputs = {name: tf.constant(arrays[name]) for name in names}
results = {}


def combine(base, adapter, inputs):
    return adapter.head(base.encode(inputs, adapter.weights(), training=False))


def is_task_tensor(value):
    return value.dtype.is_floating and 0 not in value.shape


# Eager and inside of tf.function, with gradients
base = tf.saved_model.load(base_dir)
before = [v.numpy() for v in base.variables]
for name, directory in tasks.items():
    adapter = tf.saved_model.load(directory)
    results[f"eager/{name}"] = combine(base, adapter, inputs)
    results[f"function/{name}"] = tf.function(
        lambda x: combine(base, adapter, x)
    )(inputs)
    tensors, head = adapter.weights(), adapter.head_weights()
    own = {k: tf.Variable(v) for k, v in tensors.items() if is_task_tensor(v)}
    head = {k: tf.Variable(v) for k, v in head.items()}

    def gradients():
        with tf.GradientTape() as tape:
            values = {k: tf.convert_to_tensor(v) for k, v in own.items()}
            outputs = base.encode(inputs, tensors | values, training=False)
            values = {k: tf.convert_to_tensor(v) for k, v in head.items()}
            loss = tf.reduce_sum(
                adapter.apply_head(outputs, values) * arrays[f"loss/{name}"]
            )
        return tape.gradient(loss, [own, head, list(base.variables)])

    functions = {"eager": gradients}
    if name in ("topics", "questions"):
        functions["function"] = tf.function(gradients)
    for kind, function in functions.items():
        encoder, last, of_base = function()
        assert of_base == [None] * len(base.variables)
        for path, gradient in {**encoder, **last}.items():
            results[f"{kind} gradient/{name}/{path}"] = gradient

# In a graph of TF1 with a session
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    placeholders = {k: tf.compat.v1.placeholder(tf.int32, [None, None]) for k in names}
    feed = {placeholders[k]: arrays[k] for k in names}
    base_1 = tf.saved_model.load(base_dir)
    other = tf.saved_model.load(other_base_dir)
    adapters = {name: tf.saved_model.load(path) for name, path in tasks.items()}
    outputs = {k: combine(base_1, a, placeholders) for k, a in adapters.items()}
    mismatch = combine(other, adapters["topics"], placeholders)
    tensors = adapters["topics"].weights()
    own = {k: tf.identity(v) for k, v in tensors.items() if is_task_tensor(v)}
    loss = tf.reduce_sum(
        adapters["topics"].head(base_1.encode(placeholders, tensors | own))
        * arrays["loss/topics"]
    )
    slopes = dict(zip(own, tf.gradients(loss, list(own.values()))))
    assert tf.gradients(loss, list(base_1.variables)) == [None] * len(base_1.variables)
    session.run(tf.compat.v1.global_variables_initializer())
    for name, value in session.run(outputs, feed).items():
        results[f"session/{name}"] = value
    for path, gradient in session.run(slopes, feed).items():
        results[f"session gradient/topics/{path}"] = gradient
    try:
        session.run(mismatch, feed)
    except tf.errors.InvalidArgumentError as error:
        results["mismatch"] = error.message

# In a Keras 3 layer, under fit


class Combined(keras.layers.Layer):
    def __init__(self, base, adapter):
        super().__init__()
        # Keras compiles with XLA by itself where there is a GPU.
        self.supports_jit = False
        self.base, self.adapter = base, adapter
        self.fixed, self.own = {}, {}
        for name, value in adapter.weights().items():
            if not is_task_tensor(value):
                self.fixed[name] = value
            else:
                self.own[name] = self.new_weight(name, value)
        values = adapter.head_weights()
        self.head = {k: self.new_weight(k, v) for k, v in values.items()}

    def new_weight(self, name, value):
        return self.add_weight(
            shape=value.shape,
            initializer=lambda shape, dtype: value,
            name=name.replace("/", "."),
        )

    def call(self, inputs, training=False):
        tensors = {k: tf.convert_to_tensor(v) for k, v in self.own.items()}
        outputs = self.base.encode(inputs, tensors | self.fixed, training=training)
        head = {k: tf.convert_to_tensor(v) for k, v in self.head.items()}
        return self.adapter.apply_head(outputs, head)


layer = Combined(base, tf.saved_model.load(tasks["topics"]))
symbolic = {k: keras.Input([None], dtype="int32", name=k) for k in names}
model = keras.Model(symbolic, layer(symbolic))
results["layer"] = model.predict(arrays_in, verbose=0)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.01), loss)
rows = arrays_in, np.arange(len(arrays["input_mask"])) % 3
losses = [model.evaluate(*rows, verbose=0)]
model.fit(*rows, epochs=40, verbose=0)
results["losses"] = [*losses, model.evaluate(*rows, verbose=0)]
changed = [float(np.abs(w - v).max()) for w, v in
           zip(layer.own.values(), (layer.adapter.weights()[k] for k in layer.own))]
results["changed"] = changed
for old, new in zip(before, base.variables):
    np.testing.assert_array_equal(old, new)
assert len(layer.trainable_weights) == len(layer.own) + len(layer.head)
assert not {"adapters_tf", "keras_hub", "tensorflow_text"} & set(sys.modules)

# From strings, for which TF.Text is needed
sys.meta_path.pop(0)
import tensorflow_text

preprocess = tf.saved_model.load(f"{base_dir}/preprocessor")
adapter = tf.saved_model.load(tasks["topics"])
results["strings"] = combine(base, adapter, preprocess(arrays["texts"]))
assert not {"adapters_tf", "keras_hub"} & set(sys.modules)
np.savez(f"{folder}/results.npz", **{k: np.asarray(v) for k, v in results.items()})
"""


@pytest.fixture(scope="module")
def inputs(token_inputs):
    """Six rows of tokens."""
    return token_inputs(6, 10, seed=3)


@pytest.fixture(scope="module")
def results(base_dir, other_base_dir, saved_tasks, inputs, tmp_path_factory):
    """What a program that has only TensorFlow gets for all tasks."""
    folder = tmp_path_factory.mktemp("combine")
    losses = {
        f"loss/{name}": weights_of_loss(task, inputs)
        for name, task in saved_tasks.items()
    }
    texts = np.array([text.encode() for text in TEXTS])
    np.savez(folder / "inputs.npz", texts=texts, **inputs, **losses)
    directories = json.dumps({k: task.directory for k, task in saved_tasks.items()})
    command = [sys.executable, "-P", "-c", _PROGRAM, base_dir, other_base_dir]
    done = subprocess.run(
        [*command, directories, folder],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return dict(np.load(folder / "results.npz"))


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("where", ["eager", "function", "session"])
def test_outputs_are_those_of_the_keras_model(
    name, where, results, saved_tasks, inputs, as_keras
):
    assert_outputs(results[f"{where}/{name}"], saved_tasks[name], inputs, as_keras)


@pytest.mark.parametrize(
    ("where", "name"),
    [
        *(("eager", name) for name in TASKS),
        *(("function", name) for name in ("topics", "questions")),
        ("session", "topics"),
    ],
)
def test_gradients_reach_every_tensor_of_a_task(
    name, where, results, saved_tasks, inputs, as_keras
):
    """And none of the base, which the program itself checks."""
    task = saved_tasks[name]
    start = f"{where} gradient/{name}/"
    got = {k.removeprefix(start): v for k, v in results.items() if k.startswith(start)}
    expected = keras_gradients(
        task.model, as_keras(inputs), weights_of_loss(task, inputs)
    )
    if where == "session":
        # There the encoder's alone were asked for.
        expected = {k: v for k, v in expected.items() if not k.startswith("logits")}
    # An adapter that is not there has an up bias of zeros, to be left alone.
    assert set(expected) <= set(got)
    assert all(path.endswith("up_projection/bias") for path in set(got) - set(expected))
    for path, gradient in expected.items():
        assert np.abs(gradient).max() > 0, path
        tolerance = 1e-5 * max(1, np.abs(gradient).max())
        np.testing.assert_allclose(got[path], gradient, 0, tolerance, err_msg=path)


def test_keras_layer_of_ones_own_under_fit(results, saved_tasks, inputs, as_keras):
    """The base did not change by a bit, which the program itself checks."""
    assert_outputs(results["layer"], saved_tasks["topics"], inputs, as_keras)
    assert results["losses"][1] < results["losses"][0] / 3
    assert len(results["changed"]) == 4 * 4 + 5 * 2
    assert results["changed"].min() > 1e-4


def test_strings_through_the_preprocessor(results, saved_tasks):
    model = saved_tasks["topics"].model
    tokens = preprocess_texts(model.preprocessor, tf.constant(TEXTS))
    expected = model(tokens, training=False)
    np.testing.assert_allclose(results["strings"], expected, 1e-5, 1e-5)


# === Every activation ===


@pytest.mark.parametrize(
    "activation",
    [
        pytest.param(name, marks=[] if name in OFTEN else pytest.mark.slow)
        for name in ACTIVATIONS
    ],
)
def test_activations(activation, base, saved_tasks, tiny_preset, inputs, as_keras):
    topics = saved_tasks["topics"].model
    model = build_model(
        "classification",
        tiny_preset,
        AdapterConfig(4, activation=activation),
        seq_length=16,
        head=topics.head_config(),
    )
    for variable, value in zip(
        model.trainable_variables, topics.trainable_variables, strict=True
    ):
        assert variable.path == value.path
        variable.assign(value)
    task = tf.saved_model.load(saved_tasks["topics"].directory)
    own = {k: tf.Variable(v) for k, v in task.weights().items() if v.dtype.is_floating}
    code = {"activation": tf.constant(activation_code(activation))}
    weights = weights_of_loss(saved_tasks["topics"], inputs)
    with tf.GradientTape() as tape:
        tensors = {k: tf.convert_to_tensor(v) for k, v in own.items()}
        tensors = task.weights() | tensors | code
        logits = task.head(base.encode(inputs, tensors))
        loss = tf.reduce_sum(logits * weights)
    expected = model(as_keras(inputs), training=False)
    np.testing.assert_allclose(logits, expected, 1e-5, 1e-5)
    expected = keras_gradients(model, as_keras(inputs), weights)
    for path, gradient in tape.gradient(loss, own).items():
        assert np.abs(gradient).max() > 0
        tolerance = 1e-5 * max(1, np.abs(expected[path]).max())
        np.testing.assert_allclose(gradient, expected[path], 0, tolerance)


# === The library's layer ===


@pytest.mark.parametrize("name", ["topics", "likeness", "questions", "norms"])
def test_layer_computes_the_task(name, base_dir, saved_tasks, inputs, as_keras):
    layer = CombinedLayer(base_dir, saved_tasks[name].directory)
    assert_outputs(layer(inputs), saved_tasks[name], inputs, as_keras)
    assert layer.labels == saved_tasks[name].task["labels"]
    assert layer.exported_config["task"] == saved_tasks[name].task
    trained = {
        v.path.replace("/", ".") for v in saved_tasks[name].model.trainable_variables
    }
    assert {w.name for w in layer.trainable_weights} == trained
    assert layer.non_trainable_weights == []


def functional(layer, inputs):
    """A Keras model of the layer alone."""
    symbolic = {k: keras.Input([None], dtype="int32", name=k) for k in inputs}
    return keras.Model(symbolic, layer(symbolic))


def test_layer_under_fit_then_saved_and_loaded(base_dir, saved_tasks, inputs, tmp_path):
    layer = CombinedLayer(base_dir, saved_tasks["topics"].directory, name="combined")
    base = layer._base.variables
    before = [v.numpy() for v in base]
    own = {w.name: w.numpy() for w in layer.weights}
    model = functional(layer, inputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    rows = inputs, np.arange(6) % 3
    loss_before = model.evaluate(*rows, verbose=0)
    model.fit(*rows, epochs=40, verbose=0)
    assert model.evaluate(*rows, verbose=0) < loss_before / 3
    for value, variable in zip(before, base, strict=True):
        np.testing.assert_array_equal(value, variable)
    assert all(np.abs(w - own[w.name]).max() > 1e-4 for w in layer.weights)
    model.save(tmp_path / "model.keras")
    # Small: the base is not inside.
    assert os.path.getsize(tmp_path / "model.keras") < 200_000
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        again.predict(inputs, verbose=0), model.predict(inputs, verbose=0)
    )


def test_layer_draws_dropout_in_training_alone(base_dir, saved_tasks, inputs):
    layer = CombinedLayer(base_dir, saved_tasks["questions"].directory)
    same, again = layer(inputs), layer(inputs, training=False)
    np.testing.assert_array_equal(same, again)
    first, second = (layer(inputs, training=True) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_layer_computes_in_float32_under_any_policy(
    policy, base_dir, saved_tasks, inputs, as_keras
):
    layer = CombinedLayer(base_dir, saved_tasks["topics"].directory, dtype=policy)
    outputs = functional(layer, inputs).predict(inputs, verbose=0)
    assert_outputs(outputs, saved_tasks["topics"], inputs, as_keras)


def test_keras_does_not_compile_the_layer_with_xla(base_dir, saved_tasks):
    """Which it does by itself on a GPU, and XLA lacks an op of the gradient."""
    layer = CombinedLayer(base_dir, saved_tasks["topics"].directory)
    assert layer.supports_jit is False


# === Another base ===


def test_adapter_of_another_base_is_refused(other_base_dir, saved_tasks):
    directory = saved_tasks["topics"].directory
    rule = "works only on the base .* was trained on sha256:.*; this base is sha256:"
    with pytest.raises(AdapterFileError, match=rule):
        CombinedLayer(other_base_dir, directory)
    base, adapter = (
        load_exported(path, kind)
        for path, kind in ((other_base_dir, "base"), (directory, "adapter"))
    )
    with pytest.raises(AdapterFileError, match="The one of Jane was trained on sha25"):
        check_fits(base, adapter, "The one of Jane")


def test_combining_with_another_base_fails_without_the_library_too(
    other_base_dir, saved_tasks, inputs, results
):
    rule = r"works only on the base it was trained on.*\(x\) is not that of this base"
    other = tf.saved_model.load(other_base_dir)
    adapter = tf.saved_model.load(saved_tasks["topics"].directory)
    tensors = adapter.weights()
    for function in (other.encode, tf.function(other.encode)):
        for training in (True, False):
            with pytest.raises(tf.errors.InvalidArgumentError, match=rule):
                function(inputs, tensors, training=training)
    assert "works only on the base it was trained on" in str(results["mismatch"])


# === What is no export ===


def test_directories_that_are_no_exports(base_dir, saved_tasks, tmp_path):
    adapter = saved_tasks["topics"].directory
    missing = tmp_path / "missing"
    for arguments, rule in (
        (
            (missing, adapter),
            "base is a SavedModel .* no saved_model.pb; write one",
        ),
        ((base_dir, missing), "An exported adapter is a .*adapters-tf-export adapter"),
        ((adapter, adapter), "is a SavedModel, but no exported base"),
        ((base_dir, base_dir), "is a SavedModel, but no exported adapter"),
    ):
        with pytest.raises(UserError, match=rule):
            CombinedLayer(*arguments)
    missing.mkdir()
    (missing / "saved_model.pb").write_bytes(b"\xff")
    with pytest.raises(UserError, match="missing' cannot be read as a SavedModel: "):
        load_exported(missing, "base")


def test_an_export_of_another_format_version_is_refused(tmp_path):
    root = tf.train.Checkpoint()
    root.head_weights = tf.function(lambda: {}, input_signature=[])
    root.config = constant_function('{"format_version": 2}')
    tf.saved_model.save(root, str(tmp_path))
    with pytest.raises(UserError, match="must be 1. Received: 2 in .* A newer"):
        load_exported(tmp_path, "adapter")
