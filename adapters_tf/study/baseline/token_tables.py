"""A task's texts as indices into a table of vectors, from each source of them."""

import collections
import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.data.examples import Examples, TaskData, rows_as
from adapters_tf.data.features import tokenize
from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.models.presets import load_backbone, load_preprocessor
from adapters_tf.study.baseline.word_vectors import read_word_vectors

UNKNOWN = 1
_FIRST_TOKEN = 2
# A word that occurs once teaches the vector of unknown words what rarity means.
_MIN_COUNT = 2
# BERT's own, about 0.05, are so small that a linear layer on frozen ones hardly
# learns at the rates that suit everything else. GloVe's are about 0.4.
_STDDEV = 0.25
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclasses.dataclass(frozen=True)
class TokenTable:
    """The rows of a task as tokens, and the tokens' vectors.

    Index 0 pads and 1 is any token that is not in the table. The tokens of the
    training rows follow, then those that only dev rows have: they keep the vectors
    that they came with. So a table is as small as the task, and a model on it is the
    same as one on the whole vocabulary.

    Attributes:
        train: The training rows, for each text column a ragged `[rows, tokens]`
            int32, at least one token a row.
        dev: The dev rows.
        size: Number of indices.
        num_trained: How many of them occur in training rows.
        vectors: `[size, dim]` float32, those of the source times a number that makes
            the standard deviation of all their values 0.25; zeros for 0 and 1. `None`
            for a table to be learnt.
    """

    train: tuple[tf.RaggedTensor, ...]
    dev: tuple[tf.RaggedTensor, ...]
    size: int
    num_trained: int
    vectors: np.ndarray | None = None


def split_words(text: str) -> list[str]:
    """The words of a text and its other characters, one by one."""
    return _WORD.findall(text)


def word_table(data: TaskData, max_length: int) -> TokenTable:
    """Lower-cased words of the training rows, without vectors.

    Args:
        data: The task; words that its training rows have once are unknown.
        max_length: Longest text in words; the rest is cut off.
    """
    train, dev = (
        [[split_words(text.lower())[:max_length] for text in column] for column in c]
        for c in _texts(data)
    )
    counts = collections.Counter(
        word for column in train for row in column for word in row
    )
    words = [word for word, count in counts.items() if count >= _MIN_COUNT]
    index = {word: i for i, word in enumerate(words, _FIRST_TOKEN)}
    return _table(train, dev, lambda word: index.get(word, UNKNOWN), len(words))


def file_table(data: TaskData, path: str, max_length: int) -> TokenTable:
    """Words with the vectors of a file.

    A word is looked up as it is spelled, then in lower case; one that the file does
    not have is unknown, a vector of zeros.

    Args:
        data: The task.
        path: See `read_word_vectors`.
        max_length: Longest text in words; the rest is cut off.

    Raises:
        DataError: As `read_word_vectors`.
    """
    train, dev = (
        [[split_words(text)[:max_length] for text in column] for column in columns]
        for columns in _texts(data)
    )
    spelled = dict.fromkeys(w for c in (*train, *dev) for row in c for w in row)
    found = read_word_vectors(path, {*spelled, *(w.lower() for w in spelled)})
    index: dict[str, int] = {}
    vectors: list[np.ndarray] = []
    place: dict[str, int] = {}
    for word in spelled:
        key = word if word in found else word.lower()
        if key in found:
            if key not in place:
                place[key] = _FIRST_TOKEN + len(vectors)
                vectors.append(found[key])
            index[word] = place[key]
    return _table(
        train,
        dev,
        lambda word: index.get(word, UNKNOWN),
        len(vectors),
        np.stack(vectors),
    )


def piece_table(data: TaskData, preset: str, max_length: int) -> TokenTable:
    """Word pieces of a base with the rows of its embedding table.

    Args:
        data: The task.
        preset: See `resolve_preset`.
        max_length: Longest text in pieces; the rest is cut off.

    Raises:
        UserError: The preset cannot be loaded.
    """
    preset = resolve_preset(preset)
    # Room for the two special tokens, which are taken off again.
    preprocessor = load_preprocessor(preset, max_length + 2)

    def pieces(column: Sequence[str]) -> list[Any]:
        features = tokenize(Examples((column,)), preprocessor)
        return [
            features.token_ids[start + 1 : end - 1]
            for start, end in zip(
                features.offsets[:-1], features.offsets[1:], strict=True
            )
        ]

    train, dev = ([pieces(column) for column in columns] for columns in _texts(data))
    used = dict.fromkeys(int(p) for c in (*train, *dev) for row in c for p in row)
    index = {piece: i for i, piece in enumerate(used, _FIRST_TOKEN)}
    embeddings = load_backbone(preset).token_embedding.embeddings
    vectors = np.asarray(embeddings.numpy(), np.float32)[np.array([*used], int)]
    return _table(train, dev, lambda p: index[int(p)], len(used), vectors)


def token_tables(
    data: TaskData, preset: str, embeddings_file: str | None, max_length: int
) -> Mapping[str, TokenTable]:
    """The table of each source: `"base"`, `"random"` and, with a file, `"file"`.

    Raises:
        UserError: The preset or the file cannot be read.
    """
    tables = {}
    if embeddings_file is not None:
        tables["file"] = file_table(data, embeddings_file, max_length)
    tables["base"] = piece_table(data, preset, max_length)
    tables["random"] = word_table(data, max_length)
    return tables


def _texts(data: TaskData) -> tuple[tuple[Sequence[str], ...], ...]:
    """The text columns of the training rows and of the dev rows."""
    return tuple(rows_as(Examples, rows).texts for rows in (data.train, data.dev))


def _table(
    train: Sequence[Sequence[Sequence]],
    dev: Sequence[Sequence[Sequence]],
    index: Callable,
    num_tokens: int,
    vectors: np.ndarray | None = None,
) -> TokenTable:
    def ragged(rows: Sequence[Sequence]) -> tf.RaggedTensor:
        indices = [[index(token) for token in row] or [UNKNOWN] for row in rows]
        return tf.RaggedTensor.from_row_lengths(
            np.array([i for row in indices for i in row], np.int32),
            np.array([len(row) for row in indices], np.int64),
        )

    train_rows = tuple(ragged(column) for column in train)
    if vectors is not None:
        spread = vectors.std() if vectors.size else 0.0
        scale = _STDDEV / spread if spread else 1.0
        vectors = np.pad(vectors * scale, [(_FIRST_TOKEN, 0), (0, 0)])
    return TokenTable(
        train=train_rows,
        dev=tuple(ragged(column) for column in dev),
        size=_FIRST_TOKEN + num_tokens,
        num_trained=len(np.unique(np.concatenate([r.flat_values for r in train_rows]))),
        vectors=vectors,
    )
