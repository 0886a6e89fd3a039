"""Tokenise rows of texts."""

from collections.abc import Iterator
from typing import Any

import keras_hub
import numpy as np

from adapters_tf.backends import require_tensorflow_backend
from adapters_tf.data.examples import Examples
from adapters_tf.models.features import Features
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.special_tokens import special_tokens

_CHUNK = 1024  # Rows tokenised at a time; limits the padded arrays' memory.


def tokenize(
    examples: Examples, preprocessor: keras_hub.models.TextClassifierPreprocessor
) -> Features:
    """Tokenise rows with keras-hub's preprocessor.

    Args:
        examples: The rows.
        preprocessor: From `load_preprocessor`; its `sequence_length` is the
            longest row.

    Returns:
        The rows' features, in their order, with the examples' labels.

    Raises:
        UserError: if TensorFlow is not Keras's backend.
    """
    require_tensorflow_backend("tokenize")
    import tensorflow as tf

    token_ids, segment_ids, lengths = [], [], []
    num_truncated = 0
    for columns in _chunks(examples.texts):
        texts = tuple(tf.constant(column) for column in columns)
        packed = preprocess_texts(preprocessor, texts if len(texts) > 1 else texts[0])
        mask = packed["padding_mask"].numpy().astype(bool)
        token_ids.append(packed["token_ids"].numpy()[mask])
        if "segment_ids" in packed:
            segment_ids.append(packed["segment_ids"].numpy()[mask])
        lengths.append(mask.sum(axis=1))
        full = np.flatnonzero(lengths[-1] >= preprocessor.sequence_length)
        num_truncated += _count_cut(columns, full, preprocessor)
    return Features(
        token_ids=np.concatenate(token_ids).astype(np.int32),
        segment_ids=np.concatenate(segment_ids).astype(np.int32)
        if segment_ids
        else None,
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]),
        labels=examples.labels,
        num_truncated=num_truncated,
    )


def _chunks(texts: Any) -> Iterator[tuple[list[str], ...]]:
    for start in range(0, len(texts[0]), _CHUNK):
        yield tuple(list(c[start : start + _CHUNK]) for c in texts)


def _count_cut(columns: Any, rows: np.ndarray, preprocessor: Any) -> int:
    """Count the rows, among these full rows, that had more tokens than fit."""
    if not len(rows):
        return 0
    special = special_tokens(preprocessor.tokenizer)
    needed = np.full(len(rows), special.count(len(columns)))
    for column in columns:
        texts = [column[row] for row in rows]
        needed += [len(tokens) for tokens in preprocessor.tokenizer(texts)]
    return int((needed > preprocessor.sequence_length).sum())
