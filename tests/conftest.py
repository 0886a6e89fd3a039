"""A small base and small data, made on the spot: no network, no downloads."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_hub  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

GOOD = ("good", "great", "fine", "lovely")
BAD = ("bad", "awful", "poor", "sad")
OTHER = ("the", "film", "was", "and", "a", "plot", "actor", "very", "so", "it", "in")
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *OTHER, "."]


def make_preset(path, seed):
    """Save a random 2-block BERT in keras-hub's own format."""
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(VOCABULARY),
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=32,
    )
    # With BERT's own initialiser a base so small hardly moves with its input.
    random = np.random.default_rng(seed)
    for variable in backbone.weights:
        if variable.path.endswith(("kernel", "embeddings")):
            variable.assign(random.normal(0, 0.4, variable.shape))
    backbone.save_to_preset(str(path))
    tokenizer = keras_hub.models.BertTokenizer(VOCABULARY, lowercase=True)
    tokenizer.save_to_preset(str(path))
    return str(path)


@pytest.fixture(scope="session")
def tiny_preset(tmp_path_factory):
    """Directory of a small base with its vocabulary."""
    return make_preset(tmp_path_factory.mktemp("tiny_preset"), seed=1)


@pytest.fixture(scope="session")
def other_preset(tmp_path_factory):
    """A base of the same shape with other weights."""
    return make_preset(tmp_path_factory.mktemp("other_preset"), seed=2)


def sentiment_rows(n, seed=0):
    """`n` short texts, each with one word that gives away its class."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        label = int(random.integers(2))
        words = list(random.choice(OTHER, random.integers(2, 9)))
        words.insert(
            int(random.integers(len(words))), str(random.choice((BAD, GOOD)[label]))
        )
        rows.append((" ".join(words), ("neg", "pos")[label]))
    return rows


@pytest.fixture
def sentiment_csv(tmp_path):
    """A CSV file of 200 rows with the columns text and label."""
    path = tmp_path / "rows.csv"
    lines = ["text,label", *(f"{text},{label}" for text, label in sentiment_rows(200))]
    path.write_text("\n".join(lines) + "\n")
    return str(path)
