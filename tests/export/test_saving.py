"""Signatures copied on disk compute what traced ones would."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.export.saving import (
    INDEX,
    SignatureCopy,
    copy_signatures,
    graph_function,
    traced_for_saving,
)
from adapters_tf.export.session import ServingSession, read_meta_graph

TABLE = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]], np.float32)
VECTOR = tf.TensorSpec([None], tf.float32)
COPIES = [SignatureCopy("second", "first", 1), SignatureCopy("third", "first", 2)]


class Line(tf.Module):
    """Rows of a table as the factor and the addend of a line."""

    def __init__(self):
        self.table = tf.Variable(TABLE)

    @tf.function(input_signature=[VECTOR, VECTOR, tf.TensorSpec([], tf.int32)])
    def shared(self, shift, x, index):
        factor, addend = tf.unstack(self.table[index])
        return {"y": factor * x + addend, "shifted": x + shift}


def save(path, order, named=True):
    """A model whose signature takes its arguments in this order."""
    line = Line()
    index = {"name": INDEX} if named else {}

    def in_order(shift, x):
        return line.shared(shift, x, tf.constant(0, **index))

    def out_of_order(x, shift):
        return line.shared(shift, x, tf.constant(0, **index))

    function = in_order if order else out_of_order
    signature = tf.function(function, input_signature=[VECTOR, VECTOR])
    tf.saved_model.save(line, str(path), {"first": signature})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = save(tmp_path_factory.mktemp("copies") / "model", order=True)
    copy_signatures(path, COPIES)
    return path


def expected(index, shift, x):
    factor, addend = TABLE[index]
    return factor * x + addend, x + shift


INPUTS = {
    "shift": np.array([5.0, 6.0, 7.0], np.float32),
    "x": np.array([1.0, 2.0, 4.0], np.float32),
}


def test_second_name_of_a_signature(tmp_path):
    """It has the nodes of the first, which a session prepares once."""
    line = Line()
    signature = tf.function(
        lambda shift, x: line.shared(shift, x, tf.constant(1)), [VECTOR, VECTOR]
    )
    path = tmp_path / "model"
    tf.saved_model.save(line, str(path), {"one": signature, "same": signature})
    nodes = len(read_meta_graph(path).graph_def.node)
    copy_signatures(path, [], same={"same": "one"})
    # The two inputs and the call.
    assert len(read_meta_graph(path).graph_def.node) == nodes - 3
    loaded = tf.saved_model.load(str(path)).signatures
    y, _ = expected(1, **INPUTS)
    with ServingSession(path) as session:
        assert session.signatures["same"].inputs == session.signatures["one"].inputs
        for name in ("one", "same"):
            np.testing.assert_array_equal(session.run(name, INPUTS)["y"], y)
            np.testing.assert_array_equal(
                loaded[name](**{k: tf.constant(v) for k, v in INPUTS.items()})["y"], y
            )


def test_in_a_session(model):
    with ServingSession(model) as session:
        assert sorted(session.signatures) == ["first", "second", "third"]
        for index, name in enumerate(("first", "second", "third")):
            outputs = session.run(name, INPUTS)
            y, shifted = expected(index, **INPUTS)
            np.testing.assert_array_equal(outputs["y"], y)
            np.testing.assert_array_equal(outputs["shifted"], shifted)


def test_through_saved_model_load(model):
    loaded = tf.saved_model.load(str(model))
    assert sorted(loaded.signatures) == ["first", "second", "third"]
    inputs = {name: tf.constant(value) for name, value in INPUTS.items()}
    for index, name in enumerate(("first", "second", "third")):
        outputs = loaded.signatures[name](**inputs)
        y, shifted = expected(index, **INPUTS)
        np.testing.assert_array_equal(outputs["y"], y)
        np.testing.assert_array_equal(outputs["shifted"], shifted)


def test_signatures_have_the_template_s_types(model):
    with ServingSession(model) as session:
        first, third = (session.signatures[name] for name in ("first", "third"))
    for of_first, of_third in (
        (first.inputs, third.inputs),
        (first.outputs, third.outputs),
    ):
        for name, info in of_first.items():
            copy = of_third[name]
            assert (copy.dtype, copy.shape) == (info.dtype, info.shape)
            assert copy.tensor != info.tensor


def test_the_same_copies_give_the_same_bytes(tmp_path):
    source = save(tmp_path / "source", order=True)
    twice = []
    for name in ("a", "b"):
        copy = shutil.copytree(source, tmp_path / name)
        copy_signatures(copy, COPIES)
        twice.append((copy / "saved_model.pb").read_bytes())
    assert twice[0] == twice[1]


@pytest.mark.parametrize(("order", "named"), [(False, True), (True, False)])
def test_refuses_templates_of_another_form(tmp_path, order, named):
    path = save(tmp_path / "model", order, named)
    with pytest.raises(ValueError, match="'first' must take its arguments in the"):
        copy_signatures(path, COPIES)


def test_what_is_traced_for_saving_is_not_traced_again(tmp_path):
    model, traced = tf.Module(), []

    def add(inputs, training=False):
        traced.append(training)
        return inputs["x"] + 1.0 if training else inputs["x"] + 2.0

    model.add = graph_function(add)
    with traced_for_saving():
        for training in (True, False):
            model.add.get_concrete_function(
                {"x": tf.TensorSpec([None], tf.float32, name="x")}, training=training
            )
    tf.saved_model.save(model, str(tmp_path / "model"))
    assert traced == [True, False]
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    assert loaded.add({"x": tf.constant([1.0])}).numpy().tolist() == [3.0]
    assert loaded.add({"x": tf.constant([1.0])}, training=True).numpy() == [2.0]
