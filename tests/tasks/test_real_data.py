"""Row counts of public data sets, where ADAPTERS_TF_TEST_DATA names them."""

import os
import pathlib

import numpy as np
import pytest

from adapters_tf.data.files import FileFormat
from adapters_tf.data.squad import AnswerReport, read_flat_questions, read_squad
from adapters_tf.errors import DataError
from adapters_tf.tasks.file_task import load_file_task
from adapters_tf.tasks.registry import load_task


@pytest.fixture
def root():
    folder = os.environ.get("ADAPTERS_TF_TEST_DATA")
    if not folder:
        pytest.skip("ADAPTERS_TF_TEST_DATA does not name a folder of data sets")
    return pathlib.Path(folder)


# MRPC: this copy lacks one of the official 3668 training rows.
@pytest.mark.parametrize(
    "name, train, dev, train_counts",
    [
        ("cola", 8551, 1043, [2528, 6023]),
        ("sst2", 67349, 872, [29780, 37569]),
        ("mrpc", 3667, 408, [1194, 2473]),
    ],
)
def test_glue_classes(root, name, train, dev, train_counts):
    data = load_task(name, root)
    assert (len(data.train), len(data.dev)) == (train, dev)
    assert np.bincount(data.train.labels).tolist() == train_counts


def test_glue_scores(root):
    data = load_task("stsb", root)
    assert (len(data.train), len(data.dev)) == (5749, 1500)
    assert (data.train.labels.min(), data.train.labels.max()) == (0, 5)


@pytest.mark.parametrize(
    "path, format, counts",
    [
        (
            "sms_spam/SMSSpamCollection",
            FileFormat(("1",), "0", delimiter="\t", header=False),
            [4827, 747],
        ),
        (
            "cf_airline/Tweets.csv",
            FileFormat(("text",), "airline_sentiment"),
            [9178, 3099, 2363],
        ),
        (
            "cf_disasters/socialmedia-disaster-tweets-DFE.csv",
            FileFormat(("text",), "choose_one", encoding="latin-1"),
            [16, 6187, 4673],
        ),
    ],
)
def test_files(root, path, format, counts):
    data = load_file_task(root / path, None, format)
    labels = np.concatenate([data.train.labels, data.dev.labels])
    assert np.bincount(labels).tolist() == counts


def test_latin1_file_read_as_utf8(root):
    path = root / "cf_disasters" / "socialmedia-disaster-tweets-DFE.csv"
    with pytest.raises(DataError, match="byte offset .*--encoding=latin-1"):
        load_file_task(path, None, FileFormat(("text",), "choose_one"))


def test_questions(root):
    assert len(read_squad(root / "squad_xquad_en" / "xquad.en.json")) == 1190
    examples, report = read_flat_questions(root / "squad_routerlens" / "dev.json")
    assert report == AnswerReport(once=3838, several=492, missing=0)
    assert len(set(examples.ids)) == 4330
