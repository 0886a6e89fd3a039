"""Fits on N virtual devices: `fit_process.py PRESET DEVICES OUTPUT.npz`."""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.tasks.build import build_model

TEXTS = ["the film was good", "a bad plot", "so very fine", "sad actor"] * 5 + ["a"]
LABELS = np.array([1, 0, 1, 0] * 5 + [1], np.int32)
WEIGHTS = np.array([0.5, 2.0] * 10 + [1.0])


def main(preset, devices, output):
    (cpu,) = tf.config.list_physical_devices("CPU")
    if devices > 1:
        logical = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(cpu, logical)
        strategy = tf.distribute.MirroredStrategy()
    else:
        strategy = tf.distribute.get_strategy()
    assert strategy.num_replicas_in_sync == devices
    with strategy.scope():
        keras.utils.set_random_seed(1)
        adapter, head = AdapterConfig(bottleneck_dim=4), {"num_classes": 2}
        model = build_model("classification", preset, adapter, seq_length=16, head=head)
        model.compile(seed=3)
    found = {}
    # 8 + 8 + 5 rows; validation is one batch that no two replicas share evenly.
    rows = {"batch_size": 8, "shuffle": False, "verbose": 0}
    history = model.fit(
        TEXTS, LABELS, epochs=2, validation_data=(TEXTS, LABELS), **rows
    )
    found |= {f"history/{k}": v for k, v in history.history.items()}
    history = model.fit(TEXTS, LABELS, sample_weight=WEIGHTS, **rows)
    found |= {f"weighted/{k}": v for k, v in history.history.items()}
    options = {"batch_size": 4, "verbose": 0}
    found["evaluate"] = model.evaluate(TEXTS, LABELS, **options)
    found["predict"] = model.predict(TEXTS, **options)
    found |= {v.path: v.numpy() for v in model.trainable_variables}
    if devices > 1:
        found["refused"] = refused(model)
    np.savez(output, **{k.replace("/", "."): v for k, v in found.items()})


def refused(model):
    """What `fit` says where Keras is wrong."""
    errors = []
    for options in ({"jit_compile": True}, {"steps_per_execution": 2}):
        model.compile(**options)
        for call in (model.fit, model.evaluate):
            try:
                call(TEXTS, LABELS, verbose=0)
            except ValueError as error:
                errors.append(str(error))
    return errors


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
