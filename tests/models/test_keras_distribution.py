"""`fit`, `evaluate` and `predict` on several devices, in processes of their own."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.models.tensorflow_task import check_distribution

PROCESS = pathlib.Path(__file__).with_name("fit_process.py")


@pytest.mark.slow
def test_fit_on_2_devices_is_fit_on_one(tiny_preset, tmp_path):
    found = []
    for devices in (1, 2):
        output = tmp_path / f"{devices}.npz"
        arguments = [tiny_preset, str(devices), str(output)]
        done = subprocess.run(
            [sys.executable, "-P", str(PROCESS), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        with np.load(output) as arrays:
            found.append(dict(arrays))
    one, two = found
    errors = two.pop("refused")
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=2e-6)
    assert len(one["predict"]) == 21 and len(one["history.val_loss"]) == 2

    assert len(errors) == 4
    assert all("Received: jit_compile=True with 2 replicas" in e for e in errors[:2])
    assert all("Received: steps_per_execution=2 with 2" in e for e in errors[2:])
    assert all("adapters-tf-train" in error for error in errors)


@pytest.mark.parametrize(
    "kind",
    [
        tf.distribute.MultiWorkerMirroredStrategy,
        tf.distribute.TPUStrategy,
        tf.distribute.experimental.ParameterServerStrategy,
    ],
)
def test_other_strategies_are_refused(kind):
    class Model:
        # Of the type, without the cluster that making one needs.
        distribute_strategy = object.__new__(kind)

    with pytest.raises(ValueError, match=f"Received: a model of a {kind.__name__}"):
        check_distribution(Model())
