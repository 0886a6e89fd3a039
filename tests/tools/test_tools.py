"""Averages, differences, summaries and smaller adapters."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

import adapters_tf
from adapters_tf import load_backbone
from adapters_tf.errors import UserError
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.model_card import model_card
from adapters_tf.study.ablation import Ablation, removed_adapters
from adapters_tf.tools import (
    average_adapters,
    diff_adapters,
    inspect_adapter,
    interpolate_adapters,
    least_important_layers,
    prune_adapter,
)

TASK = {"name": "mood", "kind": "classification", "labels": ["sad", "glad"]}
TASK |= {"text_columns": ["text"], "metrics": ["accuracy"]}
CONFIG = adapters_tf.AdapterConfig(2)


@pytest.fixture(scope="module")
def adapters(tiny_preset):
    """Function: an adapter with random tensors, and the model of its form."""
    models = {}

    def make(seed=0, config=CONFIG, tuning="adapters", task=TASK, **head):
        form = (config, tuning, *head.items())
        if form not in models:
            model = adapters_tf.build_model(
                "classification",
                tiny_preset,
                config,
                tuning,
                seq_length=16,
                head={"num_classes": 2, **head},
            )
            models[form] = model, [np.array(v) for v in model.trainable_variables]
        model, initial = models[form]
        random = np.random.default_rng(seed)
        for variable, value in zip(model.trainable_variables, initial, strict=True):
            variable.assign(value + random.normal(0, 0.3, variable.shape))
        about = {"preset": tiny_preset, "seq_length": 16, "task": task}
        about |= {"metrics": {"accuracy": 0.75}, "training": {"seed": seed}}
        return model.get_adapter(**about), model

    return make


@pytest.fixture
def inputs():
    random = np.random.default_rng(5)
    mask = np.ones((4, 9), "int32")
    mask[1:, 6:] = 0
    ids = random.integers(5, 20, (4, 9)).astype("int32") * mask
    return {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": mask}


# === Averages ===


def test_average(adapters):
    made = [adapters(seed)[0] for seed in (0, 1, 2)]
    mean = average_adapters(made)
    for path, value in mean.tensors.items():
        values = np.array([a.tensors[path] for a in made], "float64")
        expected = values.mean(axis=0).astype("float32")
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7)
        assert value.dtype == np.float32
    assert mean.metrics == {}
    assert mean.training["averaged"] == [{"seed": 0}, {"seed": 1}, {"seed": 2}]
    same = ("kind", "adapter", "tuning", "head", "base_fingerprint", "task", "preset")
    for field in same:
        assert getattr(mean, field) == getattr(made[0], field)
    weighted = average_adapters(made, [0.5, 0.0, 0.5])
    path = "logits/kernel"
    expected = (made[0].tensors[path] + made[2].tensors[path]) / 2
    np.testing.assert_allclose(weighted.tensors[path], expected, atol=1e-6)


def test_interpolation(adapters, tmp_path, inputs):
    one, other = adapters(0)[0], adapters(1)[0]
    for share, expected in ((0, one), (1, other)):
        found = interpolate_adapters(one, other, share)
        for path, value in expected.tensors.items():
            np.testing.assert_array_equal(found.tensors[path], value)
    between = interpolate_adapters(one, other, 0.25)
    path = "transformer_layer_1/feed_forward_adapter/up_projection/kernel"
    expected = 0.75 * one.tensors[path] + 0.25 * other.tensors[path]
    np.testing.assert_allclose(between.tensors[path], expected, atol=1e-6)
    # It is an adapter like any other.
    adapters_tf.save_adapter(between, tmp_path / "A")
    assert np.isfinite(adapters_tf.load_model(tmp_path / "A")(inputs)).all()


def test_adapters_that_cannot_be_averaged(adapters, other_preset):
    one = adapters()[0]
    for other, message in (
        (adapters(config=adapters_tf.AdapterConfig(3))[0], "adapter 2 with adapter="),
        (adapters(tuning="adapters_only")[0], "adapter 2 with tuning="),
        (adapters(head_input="mean")[0], "with head=.*'mean'.*first one has head="),
        (adapters(task=TASK | {"labels": ["glad", "sad"]})[0], "with labels=.'glad'"),
        (
            adapters(task=TASK | {"text_columns": ["a", "b"]})[0],
            "with text_columns=.'a",
        ),
        (dataclasses.replace(one, seq_length=32), "with seq_length=32"),
        (
            dataclasses.replace(
                one, base_fingerprint=load_backbone(other_preset).fingerprint
            ),
            "with base_fingerprint=sha256",
        ),
    ):
        with pytest.raises(UserError, match=f"one base, form and task.*{message}"):
            average_adapters([one, other])
    # The order of two columns has a meaning; the name of one has none.
    pairs = [adapters(task=TASK | {"text_columns": c})[0] for c in ("ab", "ba")]
    with pytest.raises(UserError, match=r"text_columns=\['b', 'a'\]; the first"):
        average_adapters(pairs)
    named = dataclasses.replace(one, task=TASK | {"text_columns": ["sentence"]})
    assert average_adapters([one, named]).task == TASK
    nameless = dataclasses.replace(one, base_fingerprint=None)
    with pytest.raises(UserError, match="without a base_fingerprint"):
        average_adapters([nameless, nameless])
    fewer = {k: v for k, v in one.tensors.items() if k != "logits/bias"}
    with pytest.raises(UserError, match="missing: logits/bias"):
        average_adapters([one, dataclasses.replace(one, tensors=fewer)])


@pytest.mark.parametrize("weights", [[1.0], [0.5, 0.6], [np.nan, 1.0], [0.2] * 5])
def test_weights_that_are_refused(adapters, weights):
    one = adapters()[0]
    with pytest.raises(UserError, match="one number for each adapter, with a sum of 1"):
        average_adapters([one, one], weights)


def test_other_refusals_of_averages(adapters):
    one = adapters()[0]
    with pytest.raises(UserError, match="two or more adapters. Received: 1"):
        average_adapters([one])
    for share in (-0.1, 1.1, np.nan):
        with pytest.raises(UserError, match="share must be from 0 to 1. Received"):
            interpolate_adapters(one, one, share)


def test_averages_that_are_no_numbers(adapters):
    one = adapters()[0]
    bad = dict(one.tensors, **{"logits/bias": np.array([np.nan, 0], "float32")})
    bad = dataclasses.replace(one, tensors=bad)
    for pair in ([one, bad], [bad, one]):
        with pytest.raises(UserError, match="tensor logits/bias holds NaN or infinity"):
            average_adapters(pair)
    huge = dict(one.tensors, **{"logits/bias": np.array([3e38, 0], "float32")})
    huge = dataclasses.replace(one, tensors=huge)
    with pytest.raises(UserError, match="tensor logits/bias holds NaN or infinity"):
        average_adapters([huge, one], [2.0, -1.0])


def test_an_average_keeps_what_its_runs_share(adapters):
    files = {"train_file": "rows.jsonl", "label_column": "mood"}
    runs = [
        dataclasses.replace(adapters(seed)[0], training=files | {"seed": seed})
        for seed in (0, 1)
    ]
    mean = average_adapters(runs)
    weights = {"averaged": [run.training for run in runs], "weights": [0.5, 0.5]}
    assert mean.training == files | weights
    command = "adapters-tf-evaluate --adapter=DIR --file=test.jsonl --label_column=mood"
    assert command in model_card(mean)


# === Differences ===


def test_difference(adapters):
    one = adapters()[0]
    same = diff_adapters(one, one)
    assert same.same_tensors and same.fields == {}
    path = "transformer_layer_1/attention_adapter/down_projection/bias"
    tensors = one.tensors | {path: one.tensors[path] + np.array([0.0, 3], "float32")}
    other = dataclasses.replace(one, tensors=tensors, metrics={"accuracy": 0.5})
    diff = diff_adapters(one, other)
    assert not diff.same_tensors
    assert diff.fields == {"metrics": ({"accuracy": 0.75}, {"accuracy": 0.5})}
    (changed,) = [part for part in diff.parts if part.largest]
    assert changed.part == "adapter of block 1, attention"
    assert changed.parameters == 2 * 2 * 16 + 16 + 2
    assert changed.largest == pytest.approx(3, rel=1e-6)
    values = [v for k, v in one.tensors.items() if "layer_1/attention_ad" in k]
    norm = np.sqrt(sum(float((v.astype("float64") ** 2).sum()) for v in values))
    assert changed.relative == pytest.approx(3 / norm, rel=1e-5)
    assert sum(part.parameters for part in diff.parts) == sum(
        v.size for v in one.tensors.values()
    )
    assert {part.part for part in diff.parts} >= {"LayerNorms", "head"}


def test_difference_of_other_forms(adapters):
    one = adapters()[0]
    wider = adapters(config=adapters_tf.AdapterConfig(3, sublayers=("attention",)))[0]
    diff = diff_adapters(one, wider)
    path = "transformer_layer_0/attention_adapter/down_projection/kernel"
    assert diff.misshapen[path] == ((16, 2), (16, 3))
    assert len(diff.only_first) == 8 and not diff.only_second
    assert all("feed_forward_adapter" in path for path in diff.only_first)
    assert diff.fields["adapter"][1]["bottleneck_dim"] == 3
    assert not diff.same_tensors


def test_difference_of_other_bases(adapters):
    one = adapters()[0]
    other = dataclasses.replace(one, backbone="AlbertBackbone")
    names = ("BertBackbone", "AlbertBackbone")
    assert diff_adapters(one, other).fields == {"backbone": names}
    assert diff_adapters(other, one).fields == {"backbone": names[::-1]}
    assert diff_adapters(other, other).fields == {}


def test_difference_from_zero():
    def adapter(value):
        tensors = {"logits/bias": np.array([value, 0], "float32")}
        tuning = adapters_tf.Tuning("head")
        return Adapter(tensors, "classification", None, tuning, {}, None)

    (part,) = diff_adapters(adapter(0), adapter(2)).parts
    assert part.relative == np.inf and part.largest == 2
    (part,) = diff_adapters(adapter(0), adapter(0)).parts
    assert part.relative == 0


# === Summaries ===


def test_summary(adapters, tmp_path):
    adapter = adapters()[0]
    adapters_tf.save_adapter(adapter, tmp_path / "A")
    summary = inspect_adapter(tmp_path / "A")
    assert summary.parts == {
        "LayerNorms": 5 * 32,
        "head": 34,
        **{
            f"adapter of block {i}, {place}": 2 * 2 * 16 + 16 + 2
            for i in (0, 1)
            for place in ("attention", "feed-forward")
        },
    }
    assert summary.parameters == sum(v.size for v in adapter.tensors.values())
    for name in ("adapter_config.json", "adapter.safetensors"):
        data = (tmp_path / "A" / name).read_bytes()
        assert summary.files[name].bytes == len(data)
        assert summary.files[name].sha256 == hashlib.sha256(data).hexdigest()
    assert summary.fields["task"] == TASK
    assert json.loads(json.dumps(summary.to_dict()))["shapes"]["logits/bias"] == [2]


def test_directories_that_are_refused(adapters, tmp_path):
    adapters_tf.save_adapter(adapters()[0], tmp_path / "run" / "adapter")
    with pytest.raises(UserError, match="inside of it are .*run/adapter$"):
        inspect_adapter(tmp_path / "run")
    with pytest.raises(UserError, match="is not a directory"):
        inspect_adapter(tmp_path / "none")
    file = tmp_path / "run" / "adapter" / "adapter.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="is corrupt or from another adapter"):
        inspect_adapter(file.parent)
    bad = adapters()[0]
    bad.tensors["logits/bias"] = np.array([np.nan, 0], "float32")
    with pytest.raises(UserError, match="tensor logits/bias holds NaN or infinity"):
        adapters_tf.save_adapter(bad, tmp_path / "bad")


# === Pruning ===


def test_a_pruned_adapter_computes_what_the_ablation_measures(
    adapters, tmp_path, inputs
):
    for layer, config in ((0, CONFIG), (1, dataclasses.replace(CONFIG, depth=2))):
        adapter, model = adapters(config=config)
        with removed_adapters(model, layer, layer):
            expected = np.asarray(model(inputs))
        pruned = prune_adapter(adapter, [layer])
        path = tmp_path / f"A{layer}"
        adapters_tf.save_adapter(pruned, path)
        result = np.asarray(adapters_tf.load_model(path)(inputs))
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)
        assert np.abs(result - np.asarray(model(inputs))).max() > 1e-3
        assert pruned.adapter.layers == (1 - layer,)
        assert len(pruned.tensors) < len(adapter.tensors)
        assert pruned.metrics == {} and pruned.training["pruned_layers"] == [layer]


def test_what_was_pruned_before_is_on_record(adapters):
    once = prune_adapter(blocks(adapters()[0], 4), [2])
    assert prune_adapter(once, [0, 0]).training["pruned_layers"] == [0, 2]


def ablation(scores, task="mood", full=0.9, base=None):
    without = {(i, i): score for i, score in enumerate(scores)}
    return Ablation(task, "accuracy", len(scores), full, without, 0.5, 10, "x", base)


def blocks(adapter, count):
    """The adapter as if its base had this many blocks."""
    path = "transformer_layer_{}/attention_adapter/up_projection/bias"
    tensors = {path.format(i): np.zeros(2, "float32") for i in range(count)}
    return dataclasses.replace(adapter, tensors=tensors)


def test_least_important_layers(adapters):
    adapter = blocks(adapters()[0], 5)
    found = ablation([0.9, 0.7, 0.95, 0.6, 0.9])
    assert least_important_layers(adapter, found, 1) == (2,)
    assert least_important_layers(adapter, found, 2) == (0, 2)
    assert least_important_layers(adapter, found, 3) == (0, 2, 4)
    assert least_important_layers(adapter, found, 4) == (0, 1, 2, 4)
    # Only blocks that have adapters are counted.
    pruned = prune_adapter(adapter, [2, 4])
    assert least_important_layers(pruned, found, 1) == (0,)


def test_prunings_that_are_refused(adapters):
    adapter = adapters()[0]
    for layers in ([], [2], [0, 1], [-1]):
        with pytest.raises(
            UserError, match="some, and not all, of the .* 0, 1. Receiv"
        ):
            prune_adapter(adapter, layers)
    two = ablation([0.8, 0.9])
    for count in (0, 2):
        with pytest.raises(UserError, match=f"from 1 to 1.*count={count}"):
            least_important_layers(adapter, two, count)
    with pytest.raises(UserError, match="one of the task 'other' for an adapter of 'm"):
        least_important_layers(adapter, ablation([0.8, 0.9], task="other"), 1)
    other = ablation([0.8, 0.9], base="sha256:0")
    with pytest.raises(UserError, match="of 'x', on the base sha256:0, for an ad"):
        least_important_layers(adapter, other, 1)
    same = ablation([0.8, 0.9], base=adapter.base_fingerprint)
    assert least_important_layers(adapter, same, 1) == (1,)
    with pytest.raises(UserError, match="one of 1 blocks, without block 1"):
        least_important_layers(adapter, ablation([0.8]), 1)
    head = adapters(config=None, tuning="head")[0]
    with pytest.raises(UserError, match="with adapters can be pruned.*tuning=head"):
        prune_adapter(head, [0])
