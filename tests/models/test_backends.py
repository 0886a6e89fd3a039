"""The same models on TensorFlow, and on JAX where TensorFlow is not installed."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import keras
import numpy as np
import pytest

from adapters_tf.backends import require_tensorflow_backend
from adapters_tf.errors import UserError

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent


def run(python, backend, script, *arguments):
    """What a script in a process of its own prints."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        # Isolated: the folder adapters_tf of the checkout is not what is installed.
        [python, "-P", HERE / script, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=HERE,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def jax_python(new_environment, wheel_file):
    """Python of an environment made by the commands of docs/jax.md."""
    text = (ROOT / "docs" / "jax.md").read_text("utf-8")
    (block,) = re.findall(r"<!-- installation -->\n```sh\n(.*?)```", text, re.S)
    installations = []
    for line in block.strip().splitlines():
        words = shlex.split(line)
        assert words[:3] == ["pip", "install", "-q"]
        installations.append([str(wheel_file) if w == "." else w for w in words[3:]])
    return new_environment(*installations)


@pytest.mark.checks
@pytest.mark.network
@pytest.mark.slow
def test_same_numbers_on_both(tiny_preset, jax_python, tmp_path):
    found = {}
    written = {name: tmp_path / name for name in ("tensorflow", "jax", "last")}
    for number, (python, backend, target, other) in enumerate(
        [
            (sys.executable, "tensorflow", "tensorflow", ""),
            (jax_python, "jax", "jax", written["tensorflow"]),
            (sys.executable, "tensorflow", "last", written["jax"]),
        ]
    ):
        output = tmp_path / f"{number}.npz"
        script = "backend_process.py"
        run(python, backend, script, tiny_preset, written[target], other, output)
        with np.load(output) as arrays:
            found[target] = dict(arrays)
    modules = {name: json.loads(str(f.pop("modules"))) for name, f in found.items()}
    assert "tensorflow" in modules["last"] and "tensorflow" not in modules["jax"]
    assert "jax" in modules["jax"]

    theirs, ours = found["tensorflow"], found["jax"]
    assert set(theirs) == set(ours) - {"predict.of_other"} and len(theirs) > 15
    for name, expected in theirs.items():
        if expected.dtype.kind == "i":
            np.testing.assert_array_equal(ours[name], expected, err_msg=name)
        # Adam's steps make more of a difference where a gradient is almost 0.
        atol = 1e-4 if name.startswith(("fit.", "answers.")) else 1e-5
        np.testing.assert_allclose(
            ours[name], expected, rtol=0, atol=atol, err_msg=name
        )
    # Each backend's adapter directory is read by the other.
    for name in ("jax", "last"):
        np.testing.assert_allclose(
            found[name]["predict.of_other"],
            theirs["predict.text"],
            rtol=0,
            atol=1e-5,
        )
    assert np.ptp(theirs["predict.text"]) > 0.1
    moved = theirs["fit.predict"] - theirs["predict.text"]
    assert abs(moved).max() > 1e-3
    written_with = json.loads((written["jax"] / "adapter_config.json").read_text())
    assert "jax" in written_with["versions"]
    assert "tensorflow" not in written_with["versions"]


@pytest.mark.checks
@pytest.mark.network
@pytest.mark.slow
def test_without_tensorflow(tiny_preset, jax_python):
    found = json.loads(
        run(jax_python, "jax", "jax_process.py", tiny_preset).splitlines()[-1]
    )
    assert not found["tensorflow"]
    assert np.mean(found["losses"][-3:]) < 0.9 * found["losses"][0]
    assert found["losses_again"] == found["losses"] != found["losses_of_another_seed"]
    assert all(found["unmoved"]) and len(found["unmoved"]) > 20
    assert found["reload"] == 0
    for what, text in found["refused"].items():
        name = what if what in ("tokenize", "dropout_scope") else f"adapters_tf.{what}"
        assert text.startswith(f"{name} needs TensorFlow. Received: an environment")
        assert "docs/jax.md" in text


def test_other_backends_are_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(UserError, match="Received: the backend 'torch'"):
        require_tensorflow_backend("AdapterTrainer")
