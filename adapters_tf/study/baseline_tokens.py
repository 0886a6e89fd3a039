"""A task's texts as token indices, with vectors from a base, a file or none."""

import collections
import dataclasses
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.data.examples import Examples, TaskData, rows_as
from adapters_tf.errors import DataError
from adapters_tf.models.presets import load_backbone, load_preprocessor
from adapters_tf.preset_names import resolve_preset
from adapters_tf.tasks.text_kind import tokenize

UNKNOWN = 1
_FIRST_TOKEN = 2
# Words that occur once are unknown, so that the vector of unknown words is trained.
_MIN_COUNT = 2
# The standard deviation of all vectors. BERT's, about 0.05, is so small that a linear
# layer on frozen vectors hardly learns at the usual rates; GloVe's is about 0.4.
_STDDEV = 0.25
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclasses.dataclass(frozen=True)
class TokenTable:
    """The rows of a task as tokens, and the tokens' vectors.

    Index 0 is padding and 1 is every token outside the table. The tokens of the
    training rows follow, then those that only dev rows have, whose vectors are never
    trained. A model on this table equals one on the whole vocabulary.

    Attributes:
        train: The training rows: for each text column a ragged `[rows, tokens]` int32,
            at least one token a row.
        dev: The dev rows, in the same form.
        size: Number of indices.
        num_trained: Number of indices that occur in training rows.
        vectors: `[size, dim]` float32: the source's vectors, scaled to a standard
            deviation of 0.25, and zeros for 0 and 1. `None` if vectors are learned.
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
        data: The task; words that occur once in its training rows are unknown.
        max_length: Longest text in words; longer texts are cut off.
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
        max_length: Longest text in words; longer texts are cut off.

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
        max_length: Longest text in pieces; longer texts are cut off.

    Raises:
        UserError: The preset cannot be loaded.
    """
    preset = resolve_preset(preset)
    # Two more, for the special tokens that are removed below.
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


_RULE = (
    "A file of word vectors must hold one word a line with its numbers, separated by "
    "spaces, in UTF-8, as GloVe's .txt and fastText's .vec files do."
)


def read_word_vectors(
    path: str | os.PathLike[str], words: Collection[str]
) -> dict[str, np.ndarray]:
    """Read the vectors of these words from a file.

    Lines are read one by one and other words are skipped, so that a file of several GB
    takes little memory. A first line of two whole numbers is the header of word2vec and
    fastText. If a word has several lines, the first counts.

    Args:
        path: A file in the text format of GloVe, word2vec or fastText.
        words: The words, spelled as in the file.

    Returns:
        A `[dim]` float32 vector for each word that the file has.

    Raises:
        DataError: The file is missing, is not text, is cut off, has a line that is not
            a word with as many numbers as the first line, or has none of the words.
    """
    wanted = {word.encode() for word in words}
    found: dict[str, np.ndarray] = {}
    dim, declared, count = 0, None, 0
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, 1):
                line = raw.strip(b" \r\n")
                if number == 1:
                    declared, dim = _first_line(path, line)
                    if declared is not None:
                        continue
                if not line:
                    continue
                count += 1
                word, numbers = _split(path, number, line, dim)
                if word in wanted and word.decode() not in found:
                    found[word.decode()] = _parse(path, number, numbers)
    except OSError as error:
        raise DataError(f"{_RULE} Received: {path}: {error.strerror}") from None
    if not dim:
        raise DataError(f"{_RULE} Received: the empty file {path}")
    if declared is not None and count < declared:
        raise DataError(
            f"The first line of {path} says {declared} words. Received: {count} lines "
            "after it. The file seems to be cut off; get it again"
        )
    if not found:
        raise DataError(
            f"A file of word vectors must have some of the task's {len(wanted)} words. "
            f"Received: {path}, which has none of them in its {count} lines. Is it of "
            "the language of the texts?"
        )
    return found


def _first_line(path: object, line: bytes) -> tuple[int | None, int]:
    """The number of words, where it is said, and the length of the vectors."""
    if b"\0" in line:
        raise DataError(
            f"{_RULE} Received: {path}, which is binary. Unpack an archive; write a "
            "word2vec .bin file as text with gensim's "
            "save_word2vec_format(path, binary=False)"
        )
    fields = line.split(b" ")
    if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit():
        return int(fields[0]), int(fields[1])
    if len(fields) < 2:
        raise _bad_line(path, 1, line, "which is no word with numbers")
    return None, len(fields) - 1


def _split(path: object, number: int, line: bytes, dim: int) -> tuple[bytes, bytes]:
    spaces = line.count(b" ")
    if spaces == dim:
        word, _, numbers = line.partition(b" ")
        return word, numbers
    reason = f"with {spaces} numbers where the first line has {dim}"
    if spaces < dim:
        raise _bad_line(path, number, line, reason)
    # A few words of GloVe's 840B vectors hold spaces: ". . .".
    fields = line.rsplit(b" ", dim)
    try:
        float(fields[0].rpartition(b" ")[2])
    except ValueError:
        return fields[0], b" ".join(fields[1:])
    raise _bad_line(path, number, line, reason)


def _parse(path: object, number: int, numbers: bytes) -> np.ndarray:
    try:
        vector = np.array([float(field) for field in numbers.split(b" ")], np.float32)
    except ValueError:
        raise _bad_line(path, number, numbers, "which are not all numbers") from None
    if not np.isfinite(vector).all():
        raise _bad_line(path, number, numbers, "which are not all finite")
    return vector


def _bad_line(path: object, number: int, line: bytes, reason: str) -> DataError:
    start = line[:40].decode(errors="replace")
    return DataError(f"{_RULE} Received: {path}, line {number}: {start!r}, {reason}")
