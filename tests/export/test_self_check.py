"""The comparison that every export passes before it gets its name."""

import contextvars
import shutil

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.errors import UserError
from adapters_tf.export import self_check
from adapters_tf.export.self_check import (
    Case,
    check_export,
    check_in_new_process,
    check_in_this_process,
    exports_checked_by,
)

TEXTS = np.array(["a", "späße", "", "longer than the others"])


class _Module(tf.Module):
    """Numbers, strings, several outputs, and a function without arguments."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, x):
        return {"half": x / 2, "count": tf.size(x), "all": [x, x]}

    @tf.function(
        input_signature=[
            {"x": tf.TensorSpec([None], tf.float32), "t": tf.TensorSpec([], tf.float32)}
        ]
    )
    def scaled(self, inputs):
        return inputs["x"] * inputs["t"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def doubled(self, text):
        return {"twice": text + text}

    @tf.function(input_signature=[])
    def name(self):
        return tf.constant("späße")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A SavedModel with functions and a signature."""
    path = tmp_path_factory.mktemp("model")
    module = _Module()
    tf.saved_model.save(module, str(path), signatures={"twice": module.doubled})
    return path


X = np.array([1, -4, 1000], np.float32)
RIGHT = {
    "call": Case("", X, {"half": X / 2, "count": np.int32(3)}),
    "arrays": Case("scaled", {"x": X, "t": np.float32(3)}, {"": X * 3}),
    "strings": Case("doubled", TEXTS, {"twice": np.array([t + t for t in TEXTS])}),
    "no argument": Case("name", None, {"": np.array("späße")}),
    "signature": Case(
        "signatures/twice", {"text": TEXTS}, {"twice": np.array([t + t for t in TEXTS])}
    ),
    # 1e-5 absolute up to 1, relative above, nothing where NaN is expected.
    "within": Case("", X, {"half": X / 2 + np.float32([9e-6, 0, 4e-3])}),
    "not compared": Case("", X, {"half": np.array([0.5, np.nan, np.nan])}),
    "empty": Case("", X[:0], {"half": X[:0]}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_outputs_pass(name, directory):
    check_in_this_process(directory, [RIGHT[name]])


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case("", X, {"half": X / 2 + 2e-5}), "__call__ half differs by 2.0e-05, over"),
        (Case("", X, {"half": X / 2 + np.float32([0, 0, 6e-3])}), "half differs by 1."),
        (Case("", X, {"half": X}), "__call__ half differs by"),
        (Case("", X * np.nan, {"half": X / 2}), "half differs by nan"),
        (Case("", X * np.inf, {"half": X / 2}), "half differs by inf"),
        (Case("", X, {"count": np.int32(4)}), "__call__ count differs"),
        (Case("", X[:2], {"half": X / 2}), r"half has shape \(2,\), not \(3,\)"),
        (Case("name", None, {"": np.array("spasse")}), "name differs"),
        (
            Case("doubled", TEXTS, {"twice": TEXTS}),
            "doubled twice differs",
        ),
        (
            Case("signatures/twice", {"text": TEXTS}, {"twice": TEXTS}),
            "signatures/twice twice differs",
        ),
    ],
)
def test_wrong_outputs_are_named(case, reason, directory):
    with pytest.raises(UserError, match=f"^The export was not kept: .*{reason}"):
        check_in_this_process(directory, [RIGHT["call"], case])


def test_a_new_process_finds_the_same(directory, checks_in_new_process):
    check_export(directory, [*RIGHT.values()])
    wrong = Case("", X, {"count": np.int32(4)})
    with pytest.raises(UserError, match="in a new process, .*__call__ count differs"):
        check_export(directory, [RIGHT["signature"], wrong])


def test_a_new_process_is_the_default(directory, monkeypatch):
    monkeypatch.setattr(self_check.sys, "executable", shutil.which("false"))
    with pytest.raises(UserError, match="in a new process"):
        contextvars.Context().run(check_export, directory, [RIGHT["call"]])


def test_another_check_can_be_handed_in(directory):
    seen = []
    with exports_checked_by(lambda *given: seen.append(given)):
        check_export(directory, [RIGHT["call"]])
    assert seen == [(directory, [RIGHT["call"]])]


def test_what_cannot_be_run_is_not_kept(tmp_path):
    """No SavedModel at all: the new process fails, and its last words are shown."""
    (tmp_path / "saved_model.pb").write_bytes(b"\xff")
    with pytest.raises(UserError, match="(?s)not kept: .*Cannot parse file"):
        check_in_new_process(tmp_path, [RIGHT["call"]])
