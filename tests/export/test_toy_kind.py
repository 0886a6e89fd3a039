"""A kind of task in one file, from a CSV file to a servable: ordinal regression."""

import csv
import json
from collections.abc import Sequence

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.examples import Examples
from adapters_tf.data.files import FileFormat
from adapters_tf.data.labels import encode_class_labels, infer_labels
from adapters_tf.export import create_servable, export_adapter, servable_check
from adapters_tf.export.session import ServingSession
from adapters_tf.models.task import KindFacts
from adapters_tf.models.text_model import TextModel
from adapters_tf.tasks import kinds
from adapters_tf.tasks.file_task import load_file_task
from adapters_tf.tasks.text_kind import TextKind, check_same_shape, repeat_labels
from adapters_tf.training.config import TrainConfig, TrainJob
from adapters_tf.training.predict_texts import LoadedAdapter
from adapters_tf.training.run import run_job

# === The kind ===


@keras.saving.register_keras_serializable(package="toy")
class CumulativeLoss(keras.losses.Loss):
    """Mean binary cross-entropy of "the class is above k" for all classes but one."""

    def call(self, y_true, y_pred):
        above = ops.expand_dims(y_true, -1) > ops.arange(ops.shape(y_pred)[-1])
        above = ops.cast(above, y_pred.dtype)
        return ops.mean(ops.softplus(y_pred) - above * y_pred, axis=-1)


@keras.saving.register_keras_serializable(package="toy")
class AdapterOrdinalRegressor(TextModel):
    """`[batch, num_classes - 1]` logits of "the class is above k"."""

    kind = "ordinal"
    facts = KindFacts(metrics=("accuracy", "mean_absolute_error", "spearman"))
    default_loss = CumulativeLoss

    def __init__(self, backbone, num_classes, preprocessor=None, **kwargs):
        self.num_classes = num_classes
        super().__init__(backbone, num_classes - 1, preprocessor, **kwargs)

    def head_config(self):
        return {"num_classes": self.num_classes, **super().head_config()}


class Ordinal(TextKind):
    """One of several classes in an order."""

    name = "ordinal"
    label_kind = "rank"
    model_class = AdapterOrdinalRegressor

    def num_outputs(self, config):
        return config["num_classes"] - 1

    def recognises(self, file):
        return False

    def infer_labels(self, file):
        return infer_labels(file.table.raw_labels)

    def encode(self, table, labels: Sequence[str]):
        return encode_class_labels(table.raw_labels, labels)

    def strata(self, rows):
        return rows.labels

    def records(self, task, outputs, prepared):
        above = 1 / (1 + np.exp(-np.stack(outputs)))
        edge = np.ones((len(above), 1))
        found = np.hstack([edge, above]) - np.hstack([above, 0 * edge])
        return [_record(task.labels, p) for p in found]

    def predictions(self, task, records):
        return np.array([task.labels.index(r["label"]) for r in records])

    def scores(self, task, predictions, references):
        given, expected = check_same_shape(predictions, references)
        varies = np.ptp(given) and np.ptp(expected)
        return {
            "accuracy": (given == expected).mean(),
            "mean_absolute_error": np.abs(given - expected).mean(),
            "spearman": scipy.stats.spearmanr(given, expected)[0] if varies else 0.0,
        }

    def majority(self, task, train, dev):
        return np.full(len(dev), int(np.median(train)))

    def token_outputs(self, logits, labels):
        import tensorflow as tf

        above = tf.pad(tf.sigmoid(logits), [[0, 0], [0, 1]])
        return _outputs(above, repeat_labels(labels, above))

    def mixed_outputs(self, rows):
        import tensorflow as tf

        inside, logits = rows.logits
        above = tf.where(inside, tf.sigmoid(logits), 0.0)
        return _outputs(above, rows.labels(rows.num_classes))

    def served_record(self, task, outputs, row, row_id):
        return _record(task.labels, outputs["probabilities"])


def _outputs(above, labels):
    """Outputs of `[B, C]` probabilities of being above each class."""
    import tensorflow as tf

    shifted = tf.concat([tf.ones_like(above[:, :1]), above[:, :-1]], axis=1)
    probabilities = shifted - above
    best = tf.argmax(probabilities, axis=1)
    return {
        "label": tf.gather(labels, best, batch_dims=1),
        "labels": labels,
        "probabilities": probabilities,
        # The expected class, from 0.
        "score": tf.reduce_sum(above, axis=1),
    }


def _record(labels, probabilities):
    return {
        "label": labels[int(np.argmax(probabilities))],
        "probabilities": dict(zip(labels, probabilities.tolist(), strict=True)),
    }


# === Its way ===

LABELS = ["1", "2", "3"]
WORDS = {"1": ("bad", "awful", "sad"), "2": ("plot", "actor"), "3": ("good", "lovely")}


@pytest.fixture
def ordinal():
    """The kind, registered while a test runs."""
    kinds.register_kind(Ordinal())
    yield
    del kinds._KINDS["ordinal"]


@pytest.fixture
def rows_csv(tmp_path):
    """A CSV file of 120 rows with three classes in an order."""
    random = np.random.default_rng(0)
    path = tmp_path / "stars.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "stars"])
        for i in range(120):
            label = LABELS[i % 3]
            words = random.choice(("the", "film", "was", "very"), 3).tolist()
            writer.writerow([" ".join([*words, random.choice(WORDS[label])]), label])
    return str(path)


def test_from_file_to_servable(
    ordinal,
    rows_csv,
    tiny_preset,
    base_dir,
    saved_task,
    check_here,
    monkeypatch,
    tmp_path,
):
    data = load_file_task(
        rows_csv, None, FileFormat(("text",), "stars"), "rank", dev_fraction=0.2
    )
    assert data.task.labels == tuple(LABELS)
    job = TrainJob(
        preset=tiny_preset,
        adapter=AdapterConfig(8),
        seq_length=16,
        config=TrainConfig(epochs=8, batch_size=8, learning_rate=1e-2),
    )
    metrics = run_job(job, data, str(tmp_path / "run"), {})
    baseline = metrics["majority_baseline"]
    assert list(baseline) == ["accuracy", "mean_absolute_error", "spearman"]
    assert metrics["dev"]["accuracy"] > baseline["accuracy"]

    directory = tmp_path / "run" / "adapter"
    about = json.loads((directory / "adapter_config.json").read_text())
    assert about["kind"] == "ordinal" and about["head"]["num_classes"] == 3
    loaded = LoadedAdapter(directory)
    assert loaded.metrics(data.dev) == pytest.approx(metrics["dev"])
    texts = ["the film was lovely", "the plot was very", "very bad film"]
    records = loaded.predictions(Examples((texts,)))
    labels = [r["label"].encode() for r in records]

    export_adapter(directory, tmp_path / "exported")
    # Beside it one task with more classes, and one with a score.
    tasks = {"stars": str(tmp_path / "exported")}
    tasks |= {name: saved_task(name).directory for name in ("norms", "fixed")}
    # The signatures of the first task and of all together; others' have their tests.
    monkeypatch.setattr(servable_check, "_OWN_SIGNATURES", 1)
    create_servable(base_dir, tasks, tmp_path / "servable")
    with ServingSession(tmp_path / "servable" / "1") as session:
        served = session.run("stars_text", {"text": np.array(texts, object)})
        names = ["stars", "norms", "stars", "fixed", "stars", ""]
        mixed = session.run(
            "mixed_text",
            {
                "text": np.array([texts[0], "x", texts[1], "x", texts[2], "x"], object),
                "text_pair": np.array([""] * 6, object),
                "task": np.array(names, object),
            },
        )
    expected = [list(r["probabilities"].values()) for r in records]
    np.testing.assert_allclose(served["probabilities"], expected, atol=1e-5)
    np.testing.assert_allclose(served["score"], expected @ np.arange(3), atol=1e-5)
    assert served["label"].tolist() == labels
    np.testing.assert_allclose(
        mixed["probabilities"][:5:2], np.pad(expected, [(0, 0), (0, 2)]), atol=1e-5
    )
    assert mixed["label"][:5:2].tolist() == labels
    assert mixed["labels"][0].tolist() == [b"1", b"2", b"3", b"", b""]
    assert mixed["kind"].tolist()[:5:2] == [b"ordinal"] * 3
    assert mixed["label"][3] == mixed["label"][5] == b""
