"""Small tasks whose answer is known."""

import numpy as np
import pytest

from adapters_tf.data.examples import Examples, TaskData
from adapters_tf.models.task import Task

OTHER = ("the", "film", "was", "and", "a", "plot", "actor", "very", "so", "it")


def _sentence(random, word):
    words = [str(w) for w in random.choice(OTHER, random.integers(2, 7))]
    words.insert(int(random.integers(len(words) + 1)), word)
    return " ".join(words)


def keyword_rows(n, seed):
    """One word decides: "good" or "fine" is class 1, "bad" or "poor" class 0."""
    random = np.random.default_rng(seed)
    labels = random.integers(2, size=n).astype(np.int32)
    words = (("bad", "poor"), ("good", "fine"))
    texts = [_sentence(random, str(random.choice(words[i]))) for i in labels]
    return Examples((texts,), labels)


def number_rows(n, seed):
    """The score is 10 for each "good"."""
    random = np.random.default_rng(seed)
    counts = random.integers(4, size=n)
    texts = [_sentence(random, " ".join(["good"] * c) or "so") for c in counts]
    return Examples((texts,), (100 + 10 * counts).astype(np.float32))


def pair_rows(n, seed):
    """Class 1 if both texts have the same one of two words."""
    random = np.random.default_rng(seed)
    words = np.array(["good", "bad"])
    first, second = random.integers(2, size=(2, n))
    return Examples(
        tuple([_sentence(random, str(words[i])) for i in c] for c in (first, second)),
        (first == second).astype(np.int32),
    )


def make_task(kind="classification", columns=("text",), metrics=("accuracy",)):
    labels = ("no", "yes") if kind == "classification" else ()
    return Task("toy", kind, columns, labels, metrics)


@pytest.fixture(scope="session")
def keyword_data():
    """200 rows of one text; every dev text is of words that training has."""
    task = make_task(metrics=("accuracy", "f1_macro"))
    return TaskData(task, keyword_rows(200, seed=1), keyword_rows(60, seed=2))


@pytest.fixture(scope="session")
def number_data():
    """200 rows of one text with a number."""
    task = make_task("regression", metrics=("spearman", "pearson"))
    return TaskData(task, number_rows(200, seed=1), number_rows(60, seed=2))


@pytest.fixture(scope="session")
def pair_data():
    """300 rows of two texts."""
    task = make_task(columns=("first", "second"))
    return TaskData(task, pair_rows(300, seed=1), pair_rows(60, seed=2))
