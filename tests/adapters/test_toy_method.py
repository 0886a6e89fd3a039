"""A method in one file: a low-rank change of the attention's query and value."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf import adapters
from adapters_tf.adapters.base import AdapterMethod, TaskForm, TaskTensor
from adapters_tf.adapters.joined import join
from adapters_tf.export.base_functions import BaseFunctions
from adapters_tf.models.adapter_file import load_adapter, save_adapter
from adapters_tf.models.backbones import BertAdapterBackbone
from adapters_tf.tasks.classification import AdapterTextClassifier

D, HEADS = 16, 2

# === The method ===


class LowRank(keras.layers.Layer):
    """`x A B`, of rank r, in the shape of a projection to heads."""

    def __init__(self, rank, units, **kwargs):
        super().__init__(**kwargs)
        self.rank, self.units = rank, units

    def build(self, input_shape):
        self.a = self.add_weight(name="a", shape=(input_shape[-1], self.rank))
        self.b = self.add_weight(
            name="b", shape=(self.rank, self.units), initializer="zeros"
        )

    def call(self, inputs):
        return keras.ops.matmul(keras.ops.matmul(inputs, self.a), self.b)


@dataclasses.dataclass(frozen=True)
class LowRankConfig(AdapterMethod):
    """The rank of the change; LayerNorms stay those of the base."""

    name = "low_rank"
    suffix = "low_rank"
    rank: int = 2
    layers: tuple[int, ...] | None = None
    layer_norm_layers: tuple[int, ...] | None = ()

    def sites(self):
        return ("query", "value")

    def make_layer(self, site, input_shape, output_shape, **kwargs):
        layer = LowRank(self.rank, output_shape[-1] * output_shape[-2], **kwargs)
        layer.build(input_shape)
        return layer

    def adapt(self, layer, site, training):
        added = layer(site.inputs)
        return site.outputs + keras.ops.reshape(added, keras.ops.shape(site.outputs))

    def neutral_variables(self, layer):
        return [layer.b]

    def num_parameters(self, hidden_dim):
        return 2 * 2 * hidden_dim * self.rank

    def form(self):
        return LowRankForm()

    @classmethod
    def full_form(cls):
        return LowRankForm()


class LowRankForm(TaskForm):
    """`a` `[d, r]` and `b` `[r, d]` at each site."""

    name = "low_rank"
    sites = ("query", "value")
    suffix = "low_rank"

    def at_site(self, hidden_dim):
        return (
            TaskTensor("a", (hidden_dim, None)),
            TaskTensor("b", (None, hidden_dim)),
        )

    def for_one_task(self, tensors):
        def at_site(path, site):
            added = tf.matmul(site.inputs, tensors[f"{path}/a"])
            added = tf.matmul(added, tensors[f"{path}/b"])
            return site.outputs + tf.reshape(added, tf.shape(site.outputs))

        return at_site

    def for_rows(self, bank, rows):
        def change(path, x, tasks):
            sizes = tf.gather(bank[f"{path}/size"], tasks)
            units = tf.range(tf.maximum(tf.reduce_max(sizes), 0))
            first = tf.gather(bank[f"{path}/offset"], tasks)
            places = tf.where(units < sizes[:, None], first[:, None] + units, 0)
            a, b = (tf.gather(bank[f"{path}/{name}"], places) for name in "ab")
            return tf.matmul(tf.matmul(x, a, transpose_b=True), b)

        def at_site(path, site):
            added = rows.apply(lambda x, t: change(path, x, t), site.inputs)
            return site.outputs + tf.reshape(added, tf.shape(site.outputs))

        return at_site


# === Where it is used ===


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The one line that a method takes outside of its file."""
    monkeypatch.setitem(adapters.METHODS, LowRankConfig.name, LowRankConfig)


def make_backbone(adapter=None):
    backbone = BertAdapterBackbone(
        vocabulary_size=20,
        num_layers=2,
        num_heads=HEADS,
        hidden_dim=D,
        intermediate_dim=32,
        dropout=0.0,
        adapter=adapter,
        fingerprint=f"sha256:{'0' * 64}",
    )
    for variable in backbone.weights:
        random = np.random.default_rng([*variable.path.encode()])
        variable.assign(random.normal(0, 0.3, variable.shape))
    return backbone


TOKENS = {
    "token_ids": np.arange(18, dtype="int32").reshape(3, 6),
    "padding_mask": np.ones((3, 6), "int32"),
    "segment_ids": np.zeros((3, 6), "int32"),
}
HUB = {
    "input_word_ids": TOKENS["token_ids"],
    "input_mask": TOKENS["padding_mask"],
    "input_type_ids": TOKENS["segment_ids"],
}


def task_tensors(backbone, functions):
    """The adapters of a backbone for `encode`, with the base's LayerNorms."""
    config = backbone.adapter
    form = adapters.form_of(config)
    variables = {v.path: v.numpy() for v in backbone.weights}
    tensors = form.option_values(config) | {"fingerprint": functions.fingerprint}
    for path in form.paths(functions.block_paths):
        tensors |= form.site_values(variables, path, D)
    for path in functions.layer_norms:
        for name in ("gamma", "beta"):
            tensors[f"{path}/{name}"] = np.zeros(0, "float32")
    return tensors


def test_it_changes_query_and_value_as_the_formula_says():
    adapted, plain = make_backbone(LowRankConfig(3)), make_backbone()
    changed = adapted(TOKENS)["sequence_output"] - plain(TOKENS)["sequence_output"]
    assert np.abs(changed).max() > 0.01
    merged = {v.path: v for v in plain.weights}
    for block in adapted.encoder_blocks:
        for site, layer in block.adapter_layers().items():
            change = (layer.a.numpy() @ layer.b.numpy()).reshape(D, HEADS, -1)
            merged[f"{block.path}/self_attention_layer/{site}/kernel"].assign_add(
                change
            )
    np.testing.assert_allclose(
        adapted(TOKENS)["sequence_output"],
        plain(TOKENS)["sequence_output"],
        rtol=1e-4,
        atol=1e-4,
    )


def test_a_step_trains_its_own_tensors_alone():
    config = LowRankConfig(3, layers=(1,))
    model = AdapterTextClassifier(make_backbone(config), num_classes=2)
    own = model.backbone.adapter_variables()
    assert sum(int(np.prod(v.shape)) for v in own) == config.num_parameters(D)
    assert {v.path for v in own} == {
        f"transformer_layer_1/{site}_low_rank/{name}"
        for site in ("query", "value")
        for name in "ab"
    }
    block = model.backbone.encoder_blocks[1].path
    shapes = {f"{block}/{k}": v for k, v in config.variable_shapes(D).items()}
    assert shapes == {v.path: tuple(v.shape) for v in own}
    before = {v.path: v.numpy() for v in model.weights}
    model.fit(TOKENS, np.array([0, 1, 1]), verbose=0)
    changed = {v.path for v in model.weights if (v.numpy() != before[v.path]).any()}
    assert changed == {v.path for v in [*own, *model.head_variables()]}


def test_files_name_the_method(tmp_path):
    model = AdapterTextClassifier(make_backbone(LowRankConfig(3)), num_classes=2)
    save_adapter(model.get_adapter(), tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["adapter"]["method"] == "low_rank"
    adapter = load_adapter(tmp_path / "adapter")
    assert adapter.adapter == LowRankConfig(3)
    model.set_adapter(adapter)


def test_a_base_computes_it_for_one_task_and_in_rows_beside_other_methods():
    functions = BaseFunctions(make_backbone())
    backbones = [
        make_backbone(config)
        for config in (
            LowRankConfig(3),
            adapters.AdapterConfig(4),
            adapters.AdapterConfig(5, depth=2, parallel=True),
            LowRankConfig(1, layers=(0,)),
        )
    ]
    tasks = [task_tensors(backbone, functions) for backbone in backbones]
    for task, backbone in zip(tasks, backbones, strict=True):
        outputs = tf.function(functions.encode)(HUB, task)
        np.testing.assert_allclose(
            outputs["sequence_output"],
            backbone(TOKENS)["sequence_output"],
            rtol=1e-4,
            atol=1e-4,
        )
    bank = {"fingerprint": functions.fingerprint}
    for form in adapters.full_forms():
        bank |= join(tasks, form, functions.block_paths, D)
    for path in functions.layer_norms:
        bank[f"{path}/row"] = np.zeros(len(tasks), "int32")
        for name in ("gamma", "beta"):
            bank[f"{path}/{name}"] = np.zeros((1, D), "float32")
    rows = np.array([3, 0, 2, 1, 0, 3], "int32")
    inputs = {name: np.concatenate([value, value]) for name, value in HUB.items()}
    outputs = tf.function(functions.encode_rows)(inputs, bank, rows)
    for i, row in enumerate(rows):
        expected = backbones[row](TOKENS)["sequence_output"][i % 3]
        np.testing.assert_allclose(
            outputs["sequence_output"][i], expected, rtol=1e-4, atol=1e-4
        )
