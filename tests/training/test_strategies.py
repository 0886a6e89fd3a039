"""Every strategy against one device, in processes of their own."""

import dataclasses
import functools

import numpy as np
import pytest

from adapters_tf.errors import UserError
from adapters_tf.training.devices import get_strategy
from adapters_tf.training.workers import is_chief, num_workers
from benchmarks.strategies import (
    Spec,
    largest_difference,
    train_in_new_processes,
)

# Runs on as many devices, and processes. Two devices with neither of XLA, bfloat16 and
# kept hidden states: tests/benchmarks/test_jobs.py.
HALF = "mixed_bfloat16"
RUNS = {
    "1 device": (
        {"plain": Spec(), "top": Spec(top_layers=1), "bfloat16": Spec(precision=HALF)},
        1,
    ),
    "4 devices": ({"one step a loop": Spec("mirrored", 4, steps_per_loop=1)}, 1),
    "2 devices": (
        {
            "XLA": Spec("mirrored", 2, jit_compile=True),
            "top": Spec("mirrored", 2, top_layers=1, cache="memory"),
            "bfloat16": Spec("mirrored", 2, precision=HALF),
        },
        1,
    ),
    "2 processes": ({"plain": Spec("multi_worker_mirrored")}, 2),
}


@pytest.fixture(scope="module")
def trained(tiny_preset):
    """Function: what the runs of this name trained, each by its own name."""

    @functools.cache
    def run(name):
        specs, workers = RUNS[name]
        small = {"preset": tiny_preset, "bottleneck_dim": 4}
        wanted = [dataclasses.replace(spec, **small) for spec in specs.values()]
        found = train_in_new_processes(wanted, workers)
        return dict(zip(specs, found, strict=True))

    return run


@pytest.fixture(scope="module")
def one_device(trained):
    return trained("1 device")["plain"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runs", "name"),
    [("4 devices", "one step a loop"), ("2 devices", "XLA"), ("2 processes", "plain")],
)
def test_same_weights_as_on_one_device(trained, one_device, runs, name):
    arrays = trained(runs)[name]
    # Dropout is on, and the last batch of each epoch is divided by no number.
    assert largest_difference(arrays, one_device) < 1e-6
    np.testing.assert_allclose(arrays["outputs"], one_device["outputs"], 0, 1e-6)
    if len(arrays["losses"]) == len(one_device["losses"]):
        np.testing.assert_allclose(arrays["losses"], one_device["losses"], 1e-5)


@pytest.mark.slow
def test_kept_hidden_states_on_2_devices(trained):
    one, two = (trained(runs)["top"] for runs in ("1 device", "2 devices"))
    assert largest_difference(two, one) < 1e-6
    np.testing.assert_allclose(two["outputs"], one["outputs"], 0, 1e-6)
    np.testing.assert_allclose(two["losses"], one["losses"], 1e-5)


@pytest.mark.slow
def test_bfloat16_on_2_devices(trained, one_device):
    one, two = (trained(runs)["bfloat16"] for runs in ("1 device", "2 devices"))
    assert largest_difference(two, one) < 5e-3
    # And it is not float32 that was run.
    assert largest_difference(one, one_device) > 1e-5


def test_one_process():
    for name in ("off", "one_device"):
        strategy = get_strategy(name)
        assert strategy.num_replicas_in_sync == num_workers(strategy) == 1
        assert is_chief(strategy)


def test_unknown_name():
    with pytest.raises(UserError, match="must be one of off, .* Received: 'parameter"):
        get_strategy("parameter_server")


@pytest.mark.parametrize(
    ("text", "received"),
    [
        (None, "Received: none"),
        ("{", "Received: {"),
        ('{"cluster": {"worker": ["a:1"]}}', 'Received: {"cluster'),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            'Received: {"cluster',
        ),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, '
            '"task": {"type": "ps", "index": 0}}',
            "must be a worker, or the chief. Received: 'ps'",
        ),
    ],
)
def test_workers_need_their_places(monkeypatch, text, received):
    if text is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError) as error:
        get_strategy("multi_worker_mirrored")
    assert received in str(error.value) and "Such as: TF_CONFIG=" in str(error.value)
