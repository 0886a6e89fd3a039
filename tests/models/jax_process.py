"""What there is and is not without TensorFlow: run by test_backends.py.

Argument: a preset directory. Prints JSON.
"""

import importlib
import json
import pathlib
import sys
import tempfile

import keras
import numpy as np

import adapters_tf
from adapters_tf.layers.dropout import dropout_scope

TEXTS = ["good film", "bad film", "a great plot", "an awful plot", "fine", "poor"] * 4
LABELS = np.array([1, 0] * 12)


def error_of(function, *arguments):
    try:
        function(*arguments)
    except adapters_tf.UserError as error:
        return str(error)
    return None


def fitted(preset, seed):
    keras.utils.set_random_seed(0)
    model = adapters_tf.build_model(
        "classification", preset, seq_length=16, head={"num_classes": 2}
    )
    optimizer = adapters_tf.create_optimizer(model.trainable_variables, 1e-2)
    model.compile(optimizer, seed=seed)
    losses = model.fit(TEXTS, LABELS, batch_size=8, epochs=12, verbose=0)
    return model, losses.history["loss"]


def main(preset):
    model, losses = fitted(preset, 1)
    frozen = adapters_tf.load_backbone(preset)
    base = {v.path: v.numpy() for v in frozen.base_variables()}
    trained = {v.path for v in model.trainable_variables}
    unmoved = [v for v in model.backbone.base_variables() if v.path not in trained]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
        before, after = (m.predict(TEXTS, verbose=0) for m in (model, loaded))
    tokenize = importlib.import_module("adapters_tf.tasks.text_kind").tokenize
    refused = {
        "training": error_of(importlib.import_module, "adapters_tf.training"),
        "export": error_of(importlib.import_module, "adapters_tf.export"),
        "tokenize": error_of(tokenize, None, None),
        "dropout_scope": error_of(dropout_scope(0, 0).__enter__),
    }
    result = {
        "tensorflow": "tensorflow" in sys.modules,
        "losses": losses,
        "losses_again": fitted(preset, 1)[1],
        "losses_of_another_seed": fitted(preset, 2)[1],
        "unmoved": [bool((base[v.path] == v.numpy()).all()) for v in unmoved],
        "reload": float(abs(before - after).max()),
        "refused": refused,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
