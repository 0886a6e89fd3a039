"""Models on the backend of KERAS_BACKEND, to a file: run by test_backends.py.

Arguments: a preset directory, an adapter directory to write, one of the other backend
to read or "", and the .npz file to write.
"""

import json
import sys

import keras
import numpy as np

import adapters_tf
from adapters_tf.models.presets import preprocess_texts

TEXTS = [
    "the film was good",
    "Caf\u00e9 plot, was BAD!",
    "so very fine, it was a good plot; and the actor, the actor was great in it",
    "poor",
    "unknownword and so it was",
    "a film",
]
PAIRS = (TEXTS, TEXTS[::-1])
LABELS = np.array([1, 0, 1, 0, 1, 1])
WEIGHTS = np.array([1.0, 2.0, 0.5, 0.0, 1.0, 3.0])
ADAPTER = adapters_tf.AdapterConfig(bottleneck_dim=4)


def fill(model):
    """Values of their own for all that is trained, the same on every backend."""
    random = np.random.default_rng(0)
    for variable in sorted(model.trainable_variables, key=lambda v: v.path):
        variable.assign(random.normal(0, 0.3, variable.shape))


def without_dropout(model):
    """Random numbers are each backend's own."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0


def main(preset, written, other, output):
    found = {}
    model = adapters_tf.build_model(
        "classification", preset, ADAPTER, seq_length=16, head={"num_classes": 2}
    )
    fill(model)
    for name, texts in (("text", TEXTS), ("pair", PAIRS)):
        tokens = preprocess_texts(model.preprocessor, texts)
        for key, value in tokens.items():
            found[f"tokens.{name}.{key}"] = np.array(value).astype(int)
        found[f"logits.{name}"] = np.array(model(tokens))
        found[f"predict.{name}"] = model.predict(texts, batch_size=4, verbose=0)
    adapters_tf.save_adapter(model.get_adapter(preset=preset, seq_length=16), written)
    if other:
        loaded = adapters_tf.load_model(other)
        found["predict.of_other"] = loaded.predict(TEXTS, verbose=0)

    without_dropout(model)
    model.compile(adapters_tf.create_optimizer(model.trainable_variables, 1e-3))
    history = model.fit(
        TEXTS,
        LABELS,
        batch_size=4,
        epochs=2,
        sample_weight=WEIGHTS,
        validation_data=(TEXTS, LABELS),
        shuffle=False,
        verbose=0,
    )
    for key, values in history.history.items():
        found[f"fit.{key}"] = np.array(values)
    found["fit.predict"] = model.predict(TEXTS, verbose=0)
    found["fit.evaluate"] = np.array(model.evaluate(TEXTS, LABELS, verbose=0))

    scores = adapters_tf.build_model("regression", preset, ADAPTER, seq_length=16)
    fill(scores)
    found["regression"] = scores.predict(PAIRS, verbose=0)

    reader = adapters_tf.build_model(
        "question_answering", preset, ADAPTER, seq_length=16
    )
    fill(reader)
    without_dropout(reader)
    reader.fit(PAIRS, [(text[:4], 0) for text in PAIRS[1]], shuffle=False, verbose=0)
    answers = reader.predict(PAIRS, verbose=0)
    found["answers.start"] = np.array([answer.start for answer in answers])
    found["answers.score"] = np.array([answer.score for answer in answers])
    found["modules"] = json.dumps(sorted(sys.modules))
    np.savez(output, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
