"""What every method keeps to, for each of its variants.

A new method adds its variants to `VARIANTS` and its formula to `NumpyBlock`.
"""

import json

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.adapters import (
    DEFAULT_FORM,
    AdapterConfig,
    adapter_from_dict,
    form_of,
    full_forms,
)
from adapters_tf.adapters.joined import join, split, take
from adapters_tf.export.task_tensors import OneTask, TaskOfEachRow, group_rows
from adapters_tf.models.backbones import BertAdapterBackbone
from adapters_tf.models.block import AdapterTransformerEncoder, task_scope
from adapters_tf.tasks.classification import AdapterTextClassifier

HIDDEN, HEADS, LENGTH = 16, 2, 6
SIZES = {"intermediate_dim": 32, "num_heads": HEADS, "name": "block"}
PADDING_MASK = np.arange(LENGTH) < np.array([[6], [4], [1]])
ATTENTION_MASK = np.tril(np.ones((3, LENGTH, LENGTH), bool))

VARIANTS = {
    "serial": AdapterConfig(4),
    "factor": AdapterConfig(reduction_factor=3),
    "relu": AdapterConfig(9, activation="relu"),
    "attention": AdapterConfig(4, sublayers=("attention",)),
    "feed_forward": AdapterConfig(4, sublayers=("feed_forward",)),
    "parallel": AdapterConfig(4, parallel=True),
    "parallel_attention": AdapterConfig(4, parallel=True, sublayers=("attention",)),
    "parallel_feed_forward": AdapterConfig(
        4, parallel=True, sublayers=("feed_forward",)
    ),
    "reads_layer_norm": AdapterConfig(4, reads_layer_norm=True),
    "pfeiffer": AdapterConfig(4, reads_layer_norm=True, sublayers=("feed_forward",)),
    "deep": AdapterConfig(3, depth=2),
    "deeper": AdapterConfig(5, depth=4, activation="tanh"),
    "layer_norm": AdapterConfig(4, layer_norm=True),
    "all_parallel": AdapterConfig(
        7, layer_norm=True, depth=3, parallel=True, activation="sigmoid"
    ),
    "all_reading": AdapterConfig(6, layer_norm=True, depth=2, reads_layer_norm=True),
}
# Those that a block with its LayerNorms first refuses.
NORM_COMES_LAST = {
    name
    for name, config in VARIANTS.items()
    if isinstance(config, AdapterConfig) and config.reads_layer_norm
}
variants = pytest.mark.parametrize("name", VARIANTS)


def inputs(rows=3):
    values = np.random.default_rng(1).normal(size=(rows, LENGTH, HIDDEN))
    return values.astype(np.float32)


def make_block(adapter=None, cls=AdapterTransformerEncoder, seed=0, **options):
    """A block whose variables are random, the same for the same paths.

    seed: of the adapters' variables alone.
    """
    if adapter is not None:
        options["adapter"] = adapter
    block = cls(**{**SIZES, **options})
    block.build((None, None, HIDDEN))
    layers = getattr(block, "adapter_layers", dict)().values()
    adapters = {v.path for layer in layers for v in layer.weights}
    for variable in block.weights:
        own = seed if variable.path in adapters else 0
        random = np.random.default_rng([own, *variable.path.encode()])
        variable.assign(random.normal(0, 0.3, variable.shape))
    return block


def layer_variables(block):
    return [v for layer in block.adapter_layers().values() for v in layer.weights]


# === The block in NumPy, from the papers' formulas ===


def layer_norm(x, gamma, beta, epsilon=1e-5):
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * gamma + beta


ACTIVATIONS = {
    "gelu_tanh": lambda x: (
        0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    ),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


class NumpyBlock:
    """From figure 2 of the paper, its section 3.6 and the Transformer's paper."""

    def __init__(self, block):
        self.w = {
            v.path.removeprefix("block/"): v.numpy().astype(np.float64)
            for v in block.weights
        }
        self.config = block.adapter
        self.normalize_first = block.normalize_first

    def dense(self, name, x):
        return x @ self.w[f"{name}/kernel"] + self.w[f"{name}/bias"]

    def attention(self, x, mask):
        def project(name):
            kernel = self.w[f"self_attention_layer/{name}/kernel"]
            bias = self.w[f"self_attention_layer/{name}/bias"]
            return np.einsum("bld,dhk->bhlk", x, kernel) + bias[:, None, :]

        q, k, v = project("query"), project("key"), project("value")
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(HIDDEN // HEADS)
        scores = np.where(mask[:, None, :, :], scores, -np.inf)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        heads = scores / scores.sum(axis=-1, keepdims=True) @ v
        kernel = self.w["self_attention_layer/attention_output/kernel"]
        output = np.einsum("bhlk,hkd->bld", heads, kernel)
        return output + self.w["self_attention_layer/attention_output/bias"]

    def feed_forward(self, x):
        x = np.maximum(self.dense("feedforward_intermediate_dense", x), 0)
        return self.dense("feedforward_output_dense", x)

    def adapter(self, name, x):
        if f"{name}/down_projection/kernel" not in self.w:
            return 0
        if f"{name}/layer_norm/gamma" in self.w:
            norm = [self.w[f"{name}/layer_norm/{part}"] for part in ("gamma", "beta")]
            x = layer_norm(x, *norm, epsilon=1e-12)
        activation = ACTIVATIONS[self.config.activation]
        x = activation(self.dense(f"{name}/down_projection", x))
        for i in range(1, self.config.depth):
            x = activation(self.dense(f"{name}/bottleneck_layer_{i}", x))
        return self.dense(f"{name}/up_projection", x)

    def sublayer(self, x, function, adapter, norm):
        norm = self.w[f"{norm}/gamma"], self.w[f"{norm}/beta"]
        source = layer_norm(x, *norm) if self.normalize_first else x
        output = function(source)
        if self.config.reads_layer_norm:
            # AdapterHub's pre_forward, forward and post_forward.
            normalized = layer_norm(output + x, *norm)
            return layer_norm(self.adapter(adapter, normalized) + output + x, *norm)
        read = source if self.config.parallel else output
        output = output + self.adapter(adapter, read)
        return x + output if self.normalize_first else layer_norm(x + output, *norm)

    def __call__(self, x, mask):
        x = self.sublayer(
            x.astype(np.float64),
            lambda x: self.attention(x, mask),
            "attention_adapter",
            "self_attention_layer_norm",
        )
        return self.sublayer(
            x, self.feed_forward, "feed_forward_adapter", "feedforward_layer_norm"
        )


# === In the block ===


@pytest.mark.parametrize("normalize_first", [False, True])
@variants
def test_block_agrees_with_numpy(name, normalize_first):
    config = VARIANTS[name]
    if normalize_first and name in NORM_COMES_LAST:
        with pytest.raises(ValueError, match="come last. Received: normalize_first"):
            make_block(config, normalize_first=True)
        return
    block = make_block(config, normalize_first=normalize_first)
    expected = NumpyBlock(block)(inputs(), PADDING_MASK[:, None, :] & ATTENTION_MASK)
    output = block(inputs(), PADDING_MASK, ATTENTION_MASK)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)
    # And that is not what the block without its adapters gives.
    plain = make_block(normalize_first=normalize_first)
    assert np.abs(plain(inputs(), PADDING_MASK, ATTENTION_MASK) - output).max() > 0.05


@variants
def test_new_layers_stay_near_the_plain_block(name):
    x = inputs()
    plain = make_block(cls=keras_hub.layers.TransformerEncoder)
    block = AdapterTransformerEncoder(**SIZES, adapter=VARIANTS[name])
    block.build(x.shape)
    given = {v.path: v for v in plain.weights}
    for variable in block.weights:
        if variable.path in given:
            variable.assign(given[variable.path])
    moved = np.abs(block(x) - plain(x)).max()
    assert moved < 0.02
    # A method whose neutral variables start at zero changes nothing at first.
    neutral = [
        variable.numpy()
        for layer in block.adapter_layers().values()
        for variable in VARIANTS[name].neutral_variables(layer)
    ]
    assert (moved > 0) == any(value.any() for value in neutral)


@variants
def test_number_of_parameters_is_the_formula(name):
    config = VARIANTS[name]
    count = sum(int(np.prod(v.shape)) for v in layer_variables(make_block(config)))
    assert count == config.num_parameters(HIDDEN)
    assert set(make_block(config).adapter_layers()) == set(config.sites())


@variants
def test_neutral_variables_at_zero_leave_the_plain_block(name):
    block, plain = make_block(VARIANTS[name]), make_block()
    for layer in block.adapter_layers().values():
        for variable in block.adapter.neutral_variables(layer):
            variable.assign(np.zeros(variable.shape))
    np.testing.assert_array_equal(block(inputs()), plain(inputs()))


@variants
def test_configuration_round_trip(name):
    config = VARIANTS[name]
    read = adapter_from_dict(json.loads(json.dumps(config.to_dict())))
    assert read == config and hash(read) == hash(config)
    block = make_block(config)
    copy = keras.layers.deserialize(keras.layers.serialize(block))
    assert copy.adapter == config
    for one, other in zip(copy.weights, block.weights, strict=True):
        assert one.path == other.path
        one.assign(other)
    np.testing.assert_array_equal(copy(inputs()), block(inputs()))


@variants
def test_gradients_reach_the_tasks_own_tensors_alone(name):
    backbone = BertAdapterBackbone(
        vocabulary_size=20,
        num_layers=2,
        num_heads=HEADS,
        hidden_dim=HIDDEN,
        intermediate_dim=32,
        dropout=0.0,
        adapter=VARIANTS[name],
    )
    model = AdapterTextClassifier(backbone, num_classes=2, tuning="adapters_only")
    own = [*backbone.adapter_variables(), *model.head_variables()]
    assert {v.path for v in model.trainable_variables} == {v.path for v in own}
    for variable in own:
        random = np.random.default_rng([*variable.path.encode()])
        variable.assign(random.normal(0, 0.3, variable.shape))
    tokens = {
        "token_ids": np.arange(12).reshape(2, 6),
        "padding_mask": np.ones((2, 6), int),
        "segment_ids": np.zeros((2, 6), int),
    }
    before = {v.path: v.numpy() for v in model.weights}
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tokens, training=True)[:, 0] ** 2)
    gradients = tape.gradient(loss, [v.value for v in own])
    for variable, gradient in zip(own, gradients, strict=True):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path
    model.fit(tokens, np.array([0, 1]), epochs=1, verbose=0)
    changed = {
        v.path for v in model.weights if not np.array_equal(v.numpy(), before[v.path])
    }
    assert changed == {v.path for v in own}


# === In exports ===


class Exported:
    """An adapted block, and its adapters as exports hold them."""

    def __init__(self, name, seed=0):
        config = VARIANTS[name]
        self.block = make_block(config, seed=seed)
        self.form = form_of(config)
        variables = {v.path: v.numpy() for v in self.block.weights}
        self.tensors = self.form.option_values(config)
        for path in self.form.paths(["block"]):
            self.tensors |= self.form.site_values(variables, path, HIDDEN)


def layer_norms(block):
    """The base's own: path -> gamma and beta."""
    return {
        path: [v for v in block.weights if v.path.startswith(f"{path}/")]
        for path in ("block/self_attention_layer_norm", "block/feedforward_layer_norm")
    }


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@variants
def test_one_tasks_function_is_the_layers(name):
    exported, plain = Exported(name), make_block()
    norms = layer_norms(plain)
    empty = np.zeros(0, np.float32)
    tensors = exported.tensors | {
        f"{path}/{part}": empty for path in norms for part in ("gamma", "beta")
    }
    tensors = {k: tf.Variable(v) for k, v in tensors.items()}

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            values = {k: tf.convert_to_tensor(v) for k, v in tensors.items()}
            with task_scope(OneTask(values, [exported.form], norms)):
                y = plain(x, PADDING_MASK)
            loss = tf.reduce_sum(y**3)
        floats = {k: v for k, v in tensors.items() if v.dtype.is_floating}
        return y, tape.gradient(loss, floats)

    y, gradients = run(inputs())
    close(y, exported.block(inputs(), PADDING_MASK))
    # Gradients too: an exported task can be trained further.
    own = layer_variables(exported.block)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(exported.block(inputs(), PADDING_MASK) ** 3)
    expected = tape.gradient(loss, [v.value for v in own])
    variables = {
        v.path: tf.convert_to_tensor(g).numpy()
        for v, g in zip(own, expected, strict=True)
    }
    for path in exported.form.paths(["block"]):
        if exported.form.is_absent(exported.tensors, path, HIDDEN):
            continue
        wanted = exported.form.site_values(variables, path, HIDDEN)
        for key, value in wanted.items():
            np.testing.assert_allclose(gradients[key], value, 1e-3, 1e-3)


BANKS = {
    "every variant": list(VARIANTS),
    "reversed": list(VARIANTS)[::-1],
    "two": ["deep", "serial"],
    "serial alone": ["serial", "relu", "attention", "factor"],
}


@pytest.mark.parametrize("names", BANKS.values(), ids=BANKS)
def test_rows_of_many_tasks_are_those_of_the_layers(names):
    tasks = [Exported(name, seed) for seed, name in enumerate(names)]
    plain = make_block()
    serial = {task.form.name for task in tasks} == {DEFAULT_FORM.name}
    forms = (DEFAULT_FORM,) if serial else full_forms()
    bank = {}
    for form in forms:
        bank |= join([t.tensors for t in tasks], form, ["block"], HIDDEN)
    norms = layer_norms(plain)
    for path in norms:
        bank[f"{path}/row"] = np.zeros(len(tasks), np.int32)
        for part in ("gamma", "beta"):
            bank[f"{path}/{part}"] = np.zeros((1, HIDDEN), np.float32)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, HIDDEN]),
            tf.TensorSpec([None], tf.int32),
        ]
    )
    def run(x, rows):
        groups = group_rows(rows)
        values = {k: tf.convert_to_tensor(v) for k, v in bank.items()}
        task = TaskOfEachRow(values, forms, rows, groups, norms)
        with task_scope(task):
            return groups.restore(plain(groups.sort(x)))

    several = np.arange(2 * len(tasks)) % len(tasks)
    for rows in (several, np.full(4, len(tasks) - 1), several[:1], several[:0]):
        x = inputs(len(rows))
        y = run(x, rows.astype(np.int32)).numpy()
        assert y.shape == x.shape
        for i, row in enumerate(rows):
            close(y[i], tasks[row].block(x[i : i + 1])[0])


@pytest.mark.parametrize("names", BANKS.values(), ids=BANKS)
def test_joined_tasks_are_split_to_the_bit(names):
    for method in {type(VARIANTS[name]) for name in names}:
        own = [name for name in names if isinstance(VARIANTS[name], method)]
        check_joined(own, method.full_form())


def check_joined(names, form):
    """Join tasks of one method, and take each out again."""
    tasks = [Exported(name, seed) for seed, name in enumerate(names)]
    joined = join([task.tensors for task in tasks], form, ["block"], HIDDEN)
    tensors = {k: tf.constant(v) for k, v in joined.items()}
    for i, task in enumerate(tasks):
        back = split(joined, i, task.form, ["block"], HIDDEN)
        assert back.keys() == task.tensors.keys()
        taken = take(tensors, tf.constant(i), form, ["block"], HIDDEN)
        for key, value in task.tensors.items():
            np.testing.assert_array_equal(back[key], value, strict=True)
            np.testing.assert_array_equal(taken[key], value)
    # A task costs its numbers: beside them a place, and a size or shape, for each.
    size = sum(v.nbytes for v in joined.values())
    more = join([t.tensors for t in [*tasks, tasks[0]]], form, ["block"], HIDDEN)
    numbers = sum(v.nbytes for v in tasks[0].tensors.values())
    added = sum(v.nbytes for v in more.values()) - size - numbers
    assert added < 300
