"""The check that a stock server has every op of a version."""

import subprocess
import sys

import pytest
import tensorflow as tf

from adapters_tf.export import op_check
from adapters_tf.export.op_check import unsupported_ops
from adapters_tf.export.session import read_meta_graph

NUMBERS = tf.TensorSpec([None], tf.float32)


def test_the_toy_runs_on_a_stock_server(saved_servable):
    assert unsupported_ops(saved_servable / "1") == {}


def test_ops_of_tf_text_are_found_and_are_what_makes_it_so(saved_servable, monkeypatch):
    monkeypatch.setattr(op_check, "TF_TEXT_OPS", frozenset())
    missing = unsupported_ops(saved_servable / "1")
    assert set(missing) == {
        "CaseFoldUTF8",
        "FastWordpieceTokenizeWithOffsets",
        "TFText>RoundRobinTrim",
    }
    strings = [
        *("entails_text", "likeness_text", "mixed_text", "questions_text"),
        *("sentiment_text", "serving_default"),
    ]
    for users in missing.values():
        assert users == tuple(f"signature {name}" for name in strings)


def test_the_list_of_tf_text_is_the_installed_library():
    # In a process of its own: the registry of this one may hold other ops too.
    script = """
import sys
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

def registered():
    ops = op_def_pb2.OpList()
    buffer = pywrap_tf_session.TF_GetAllOpList()
    ops.ParseFromString(pywrap_tf_session.TF_GetBuffer(buffer))
    return {op.name for op in ops.op}

before = registered()
import tensorflow_text
print(*sorted(registered() - before))
"""
    result = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert set(result.stdout.split()) == op_check.TF_TEXT_OPS


def save(path, function, **options):
    module = tf.Module()
    module.function = tf.function(function, input_signature=[NUMBERS])
    tf.saved_model.save(module, str(path), {"f": module.function}, **options)


def with_py_function(x):
    return {"y": tf.ensure_shape(tf.py_function(lambda v: v + 1, [x], x.dtype), [None])}


def with_numpy_function(x):
    return {"y": tf.numpy_function(lambda v: v + 1, [x], x.dtype)}


@pytest.mark.parametrize(
    ("function", "op"),
    [(with_py_function, "EagerPyFunc"), (with_numpy_function, "PyFunc")],
)
def test_python_functions_are_reported(tmp_path, function, op):
    save(tmp_path, function)
    assert unsupported_ops(tmp_path) == {op: ("signature f",)}


def test_functions_are_followed_through_attributes(tmp_path):
    # Two functions deep: in the body of a loop in a branch.
    def nested(x):
        def loop():
            return tf.while_loop(
                lambda v: tf.reduce_sum(v) < 3,
                lambda v: tf.ensure_shape(
                    tf.py_function(lambda w: w + 1, [v], v.dtype), [None]
                ),
                [x],
            )[0]

        return {"y": tf.cond(tf.size(x) > 2, loop, lambda: x)}

    save(tmp_path, nested)
    assert unsupported_ops(tmp_path) == {"EagerPyFunc": ("signature f",)}


class Table(tf.Module):
    """A table that is filled when the SavedModel is initialized."""

    def __init__(self):
        super().__init__()
        pairs = tf.lookup.KeyValueTensorInitializer(["a", "b"], [1.0, 2.0])
        self.table = tf.lookup.StaticHashTable(pairs, 0.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, text):
        return {"y": self.table.lookup(text)}


def test_initialization_and_restore_are_checked(tmp_path, monkeypatch):
    module = Table()
    module.variable = tf.Variable(1.0)
    tf.saved_model.save(module, str(tmp_path), {"f": module.__call__})
    assert unsupported_ops(tmp_path) == {}
    fewer = op_check.stock_server_ops() - {"LookupTableImportV2", "RestoreV2"}
    monkeypatch.setattr(op_check, "stock_server_ops", lambda: fewer)
    assert unsupported_ops(tmp_path) == {
        "LookupTableImportV2": ("initialization",),
        "RestoreV2": ("restore",),
    }


def test_an_op_or_a_function_that_nobody_knows(saved_servable, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    path = saved_servable / "1"
    model = saved_model_pb2.SavedModel()
    model.meta_graphs.add().CopyFrom(read_meta_graph(path))
    graph = model.meta_graphs[0].graph_def
    # In a function that only the signature sentiment reaches.
    bodies = {f.signature.name: f for f in graph.library.function}
    output = model.meta_graphs[0].signature_def["sentiment"].outputs["label"].name
    (call,) = [n for n in graph.node if n.name == output.partition(":")[0]]
    body = bodies[call.attr["f"].func.name]
    body.node_def.add(name="new", op="SecretOp")
    body.node_def.add(name="call", op="PartitionedCall").attr["f"].func.name = "gone"
    # Nothing reaches this one.
    graph.node.add(name="alone", op="OtherOp")
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    assert unsupported_ops(tmp_path) == {
        "SecretOp": ("signature sentiment",),
        "gone": ("signature sentiment",),
    }


def test_the_known_ops_do_not_grow_with_loaded_libraries():
    known = op_check.stock_server_ops()
    assert {"MatMul", "StatefulPartitionedCall", "RegexSplitWithOffsets"} <= known
    assert not known & {"PyFunc", "EagerPyFunc", "PyFuncStateless"}
    assert len(known) > 1000
