"""GLUE and SQuAD through TensorFlow Datasets, mocked: nothing is downloaded."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from adapters_tf.data.glue import GLUE_LAYOUTS
from adapters_tf.data.tfds_source import load_tfds_glue, load_tfds_squad
from adapters_tf.errors import DataError, UserError


@pytest.mark.parametrize("name", GLUE_LAYOUTS)
def test_glue(name, monkeypatch):
    requested = []
    load = tfds.load

    def spy(*args, **kwargs):
        requested.append((args, kwargs))
        return load(*args, **kwargs)

    monkeypatch.setattr(tfds, "load", spy)
    with tfds.testing.mock_data(num_examples=5, policy=_USE_CODE):
        splits = load_tfds_glue(name)
        features = tfds.builder(f"glue/{name}").info.features
    layout = GLUE_LAYOUTS[name]
    ((arguments, options),) = requested
    assert arguments == (f"glue/{name}",)
    assert options["try_gcs"] is False
    if name == "mnli":
        assert options["split"] == [
            "train",
            "validation_matched",
            "validation_mismatched",
        ]
        assert list(splits) == ["train", "dev", "mismatched"]
    else:
        assert options["split"] == ["train", "validation"]
        assert list(splits) == ["train", "dev"]
    assert set(layout.text_columns) == set(features) - {"label", "idx"}
    if layout.labels:
        assert layout.labels == tuple(features["label"].names)
    for examples in splits.values():
        assert len(examples) == 5
        assert len(examples.texts) == len(layout.text_columns)
        assert all(
            isinstance(text, str) for column in examples.texts for text in column
        )
        assert examples.labels.shape == (5,)
        assert examples.labels.dtype == (np.int32 if layout.labels else np.float32)


_USE_CODE = tfds.testing.MockPolicy.USE_CODE


def test_texts_labels_and_order_of_columns():
    rows = {
        "hypothesis": ["h1", "h\u00e92"],
        "premise": ["p1", "p2"],
        "label": np.array([2, 0], np.int64),
        "idx": np.array([0, 1], np.int32),
    }

    def as_dataset(self, *args, **kwargs):
        return tf.data.Dataset.from_tensor_slices(rows)

    with tfds.testing.mock_data(as_dataset_fn=as_dataset, policy=_USE_CODE):
        train = load_tfds_glue("mnli")["train"]
    assert train.texts == (["p1", "p2"], ["h1", "h\u00e92"])
    np.testing.assert_array_equal(train.labels, [2, 0])


def _squad_rows(answer_start):
    def as_dataset(self, *args, **kwargs):
        def generate():
            yield {
                "id": "q1",
                "title": "Ada",
                "context": "\u00e9 Ada met Babbage",
                "question": "Who?",
                "answers": {"text": ["Ada", "Babbage"], "answer_start": answer_start},
            }

        return tf.data.Dataset.from_generator(
            generate,
            output_signature=tf.nest.map_structure(
                lambda info: tf.TensorSpec(info.shape, info.tf_dtype),
                self.info.features.get_tensor_info(),
            ),
        )

    return as_dataset


def test_squad():
    as_dataset = _squad_rows([2, 10])
    with tfds.testing.mock_data(as_dataset_fn=as_dataset, policy=_USE_CODE):
        splits = load_tfds_squad()
    assert list(splits) == ["train", "dev"]
    dev = splits["dev"]
    assert dev.ids == ["q1"]
    assert dev.questions == ["Who?"]
    assert dev.contexts == ["\u00e9 Ada met Babbage"]
    assert dev.answers == [("Ada", "Babbage")]
    assert dev.starts == [(2, 10)]


def test_squad_with_wrong_positions():
    as_dataset = _squad_rows([3, 10])
    with tfds.testing.mock_data(as_dataset_fn=as_dataset, policy=_USE_CODE):
        with pytest.raises(DataError, match="TensorFlow Datasets.*'q1', answer 'Ada'"):
            load_tfds_squad()


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Failed to resolve 'dl.fbaipublicfiles.com'"),
        AssertionError("could not find data"),
        ModuleNotFoundError("No module named 'importlib_resources'"),
        tfds.download.DownloadError("Failed to get url"),
        tfds.core.DatasetNotFoundError("Dataset glue not found"),
    ],
)
def test_data_that_cannot_be_got(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(tfds, "load", fail)
    match = (
        rf"glue/rte.*{type(error).__name__}: .*tfds\.load\('glue/rte'\).*to /data here"
        ".*--tfds_data_dir.*--data_dir"
    )
    with pytest.raises(UserError, match=match):
        load_tfds_glue("rte", "/data")


def test_faults_of_the_program_are_not_hidden(monkeypatch):
    def fail(*args, **kwargs):
        raise TypeError("unexpected keyword")

    monkeypatch.setattr(tfds, "load", fail)
    with pytest.raises(TypeError, match="unexpected keyword"):
        load_tfds_squad()
