"""Row counts of public data sets, where ADAPTERS_TF_TEST_DATA names them."""

import os
import pathlib

import numpy as np
import pytest

from adapters_tf.data.files import FileFormat
from adapters_tf.data.glue import read_glue_test
from adapters_tf.data.splits import text_key
from adapters_tf.data.squad import AnswerReport, read_flat_questions, read_squad
from adapters_tf.errors import DataError
from adapters_tf.tasks.file_task import load_file_task
from adapters_tf.tasks.source import load_task


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


# Rows of the three parts, and of each class in all of them. The paper's table 3 has the
# same rows in all, and its parts differ by two at most.
TEXT_TASKS = {
    "cf_airline": ([11712, 1464, 1464], [9178, 3099, 2363]),
    "cf_corporate_messaging": ([2492, 313, 313], [724, 226, 39, 2129]),
    "cf_disasters": ([8688, 1086, 1086], [6187, 4673]),
    "cf_political_bias": ([4000, 500, 500], [3689, 1311]),
    "cf_progressive_opinion": ([929, 115, 115], [730, 345, 84]),
    "cf_progressive_stance": ([927, 116, 116], [483, 348, 11, 317]),
    "sms_spam": ([4458, 558, 558], [4827, 747]),
    "trec": ([4906, 546, 500], [95, 1300, 1344, 1288, 916, 1009]),
}


@pytest.mark.parametrize("name", TEXT_TASKS)
def test_text_tasks(root, name):
    data = load_task(name, root)
    parts = [data.train, data.dev, data.extra_dev["test"]]
    labels = np.concatenate([part.labels for part in parts])
    sizes, counts = TEXT_TASKS[name]
    assert [len(part) for part in parts] == sizes
    assert np.bincount(labels).tolist() == counts
    train, dev, test = ({text_key(t) for t in part.texts[0]} for part in parts)
    assert not train & dev
    if name == "trec":  # The published test questions.
        assert (len(train & test), len(dev & test)) == (10, 1)
    else:
        assert not (train | dev) & test


@pytest.mark.parametrize(
    "name, rows, first",
    [
        ("CoLA", 1063, "Bill whistled past the house."),
        ("SST-2", 1821, "uneasy mishmash of styles and genres ."),
        ("MRPC", 1725, "PCCW 's chief operating officer , Mike Butcher , and Alex"),
        ("STS-B", 1379, "A girl is styling her hair."),
    ],
)
def test_glue_tests(root, name, rows, first):
    numbers, examples = read_glue_test(name, root)
    assert numbers == [str(i) for i in range(rows)]
    assert len(examples) == rows
    assert examples.texts[0][0].startswith(first)


def test_latin1_file_read_as_utf8(root):
    path = root / "cf_disasters" / "socialmedia-disaster-tweets-DFE.csv"
    with pytest.raises(DataError, match="byte offset .*--encoding=latin-1"):
        load_file_task(path, None, FileFormat(("text",), "choose_one"))


def test_questions(root):
    assert len(read_squad(root / "squad_xquad_en" / "xquad.en.json")) == 1190
    examples, report = read_flat_questions(root / "squad_routerlens" / "dev.json")
    assert report == AnswerReport(once=3838, several=492, missing=0)
    assert len(set(examples.ids)) == 4330
