"""A small base, and short texts in its words."""

import keras_hub
import numpy as np

GOOD = ("good", "great", "fine", "lovely")
BAD = ("bad", "awful", "poor", "sad")
OTHER = ("the", "film", "was", "and", "a", "plot", "actor", "very", "so", "it", "in")
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *OTHER, "."]


def make_preset(path, seed, max_sequence_length=32, num_layers=2):
    """Save a random, small BERT in keras-hub's own format."""
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(VOCABULARY),
        num_layers=num_layers,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=max_sequence_length,
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
