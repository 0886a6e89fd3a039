"""Checkpoints of the paper's reference code."""

import json

import numpy as np
import pytest

import adapters_tf
from adapters_tf.convert import convert_from_adapter_bert, convert_google_bert
from adapters_tf.errors import UserError

LENGTH = 12


@pytest.fixture(scope="module")
def variables(numpy_bert):
    """Those of a checkpoint: base, adapters of 6 units and a head of 3 classes."""
    return numpy_bert.random_variables(
        numpy_bert.SIZES, seed=4, adapter_size=6, classes=3
    )


@pytest.fixture
def preset(variables, write_checkpoint, fixtures, numpy_bert, tmp_path):
    """The base that the checkpoint was trained on, with LayerNorms of its own."""
    folder = tmp_path / "google"
    base = {
        name: value + 0.1 if "LayerNorm" in name else value
        for name, value in variables.items()
        if "adapters" not in name and name.startswith("bert/")
    }
    write_checkpoint(folder / "bert_model.ckpt", base)
    (folder / "bert_config.json").write_text(json.dumps(numpy_bert.SIZES))
    (folder / "vocab.txt").write_text((fixtures / "base" / "vocab.txt").read_text())
    convert_google_bert(folder, tmp_path / "preset")
    return str(tmp_path / "preset")


@pytest.fixture
def checkpoint(variables, write_checkpoint, tmp_path):
    """Function: write the checkpoint with changes."""

    def write(changes=(), leave_out=()):
        slots = {
            f"{name}/{slot}": np.zeros(value.shape, "float32")
            for name, value in variables.items()
            for slot in ("adam_m", "adam_v")
            if "adapters" in name
        }
        stored = variables | slots | {"global_step": np.array(1000)} | dict(changes)
        stored = {
            k: v for k, v in stored.items() if not any(part in k for part in leave_out)
        }
        return write_checkpoint(tmp_path / "run" / "model.ckpt-1000", stored)

    return write


@pytest.fixture
def convert(preset, tmp_path):
    """Function: convert; returns the adapter directory."""

    def run(source, **kwargs):
        kwargs = {"preset": preset, "seq_length": LENGTH, "overwrite": True} | kwargs
        out = str(tmp_path / "adapter")
        convert_from_adapter_bert(source, output_dir=out, **kwargs)
        return out

    return run


def test_outputs_are_those_of_the_reference(
    checkpoint, convert, variables, numpy_bert, inputs
):
    lines = []
    source = checkpoint()
    out = convert(source, labels=("no", "so-so", "yes"), say=lines.append)
    assert lines == ["model.ckpt-1000: classification, 3 outputs, bottleneck 6"]
    logits = np.asarray(adapters_tf.load_model(out)(inputs))
    names = ("token_ids", "segment_ids", "padding_mask")
    _, pooled = numpy_bert.bert(
        variables, numpy_bert.SIZES, *(inputs[name] for name in names)
    )
    expected = pooled @ variables["output_weights"].T + variables["output_bias"]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-5)
    # Each of adapters, LayerNorms and head is needed for that.
    for part in ("adapters", "LayerNorm", "output_weights"):
        changed = {k: v * 1.1 if part in k else v for k, v in variables.items()}
        _, pooled = numpy_bert.bert(
            changed, numpy_bert.SIZES, *(inputs[name] for name in names)
        )
        other = pooled @ changed["output_weights"].T + changed["output_bias"]
        assert np.abs(other - expected).max() > 1e-3
    adapter = adapters_tf.load_adapter(out)
    assert adapter.adapter == adapters_tf.AdapterConfig(6)
    assert adapter.task["labels"] == ["no", "so-so", "yes"]
    assert adapter.head == {"num_classes": 3, "head_input": "pooled", "dropout": 0.1}
    assert adapter.training["checkpoint"] == str(source)


def test_the_latest_checkpoint_of_a_directory(checkpoint, convert):
    source = checkpoint()
    adapter = adapters_tf.load_adapter(convert(source.parent, name="mrpc"))
    assert adapter.task["name"] == "mrpc"
    assert adapter.task["labels"] == ["0", "1", "2"]
    assert adapter.training["checkpoint"].endswith("run/model.ckpt-1000")


def test_some_blocks_and_places(checkpoint, convert, variables, numpy_bert, inputs):
    left_out = ("layer_0/attention/output/adapters", "layer_0/output/adapters")
    left_out += ("layer_1/output/adapters",)
    out = convert(checkpoint(leave_out=left_out))
    adapter = adapters_tf.load_adapter(out)
    assert adapter.adapter == adapters_tf.AdapterConfig(
        6, layers=(1,), sublayers=("attention",), layer_norm_layers=(0, 1)
    )
    logits = np.asarray(adapters_tf.load_model(out)(inputs))
    rest = {
        k: v for k, v in variables.items() if not any(part in k for part in left_out)
    }
    names = ("token_ids", "segment_ids", "padding_mask")
    _, pooled = numpy_bert.bert(
        rest, numpy_bert.SIZES, *(inputs[name] for name in names)
    )
    expected = pooled @ rest["output_weights"].T + rest["output_bias"]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-5)


def test_one_output_is_a_score(checkpoint, convert):
    head = {"output_weights": np.ones((1, 16), "float32")}
    head["output_bias"] = np.ones(1, "float32")
    adapter = adapters_tf.load_adapter(convert(checkpoint(head)))
    assert adapter.kind == "regression" and adapter.task["labels"] == []
    np.testing.assert_array_equal(adapter.tensors["logits/kernel"], np.ones((16, 1)))


ONE = "bert/encoder/layer_1/output/adapters/weights1"


@pytest.mark.parametrize(
    ("changes", "leave_out", "message"),
    [
        ({"bert/x": np.zeros(1, "float32")}, (), "Missing: none; not known: bert/x"),
        ({}, ("output_bias",), "Missing: output_bias; not known: none"),
        ({}, ("pooler",), "Missing: bert/pooler/dense/bias, bert/pooler/dense/kernel"),
        ({}, ("adapters",), "Missing: bert/encoder/layer_0/output/adapters/weights1"),
        ({}, (ONE,), f"variable {ONE} must have the shape .16, 6.*none of that name"),
        ({ONE: np.zeros((16, 7), "float32")}, (), f"{ONE} must have the shape .16, 6."),
        (
            {"output_weights": np.zeros((3, 8), "float32")},
            (),
            r"output_weights must have the shape \(3, 16\). Received: \(3, 8\)",
        ),
        (
            {"bert/pooler/dense/bias": np.zeros(16, "float32")},
            (),
            "which it holds. Received: .* differs in bert/pooler/dense/bias by 0",
        ),
    ],
)
def test_checkpoints_that_are_refused(changes, leave_out, message, checkpoint, convert):
    with pytest.raises(UserError, match=message):
        convert(checkpoint(changes, leave_out))


def test_other_arguments_that_are_refused(checkpoint, convert, base, tmp_path):
    source = checkpoint()
    with pytest.raises(UserError, match="each of the head's 3 classes once.*: yes,no"):
        convert(source, labels=("yes", "no"))
    with pytest.raises(UserError, match="the tanh form of GELU, as Google's code does"):
        convert(source, preset=base)
    with pytest.raises(UserError, match="begin with.*holds model.ckpt-1000"):
        convert(source.with_name("model.ckpt-2000"))
    with pytest.raises(UserError, match="there is no directory"):
        convert(tmp_path / "none" / "model.ckpt")
