"""Tokenising rows: what a row becomes, and how many texts were cut."""

import keras_hub
import numpy as np

from adapters_tf.data.examples import Examples
from adapters_tf.tasks.text_kind import tokenize

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"]


def preprocessor(length):
    tokenizer = keras_hub.models.BertTokenizer(WORDS, lowercase=True)
    return keras_hub.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=length
    )


def row(features, i):
    piece = slice(features.offsets[i], features.offsets[i + 1])
    return features.token_ids[piece].tolist(), features.segment_ids[piece].tolist()


def test_single_texts_by_hand():
    labels = np.array([1, 0, 1], np.int32)
    features = tokenize(
        Examples((["A b", "c c c c", "c c c c c"],), labels), preprocessor(6)
    )
    assert row(features, 0) == ([2, 5, 6, 3], [0] * 4)
    assert row(features, 1) == ([2, 7, 7, 7, 7, 3], [0] * 6)  # just fits
    assert row(features, 2) == ([2, 7, 7, 7, 7, 3], [0] * 6)  # one token is cut
    assert features.num_truncated == 1
    assert features.labels is labels and features.lengths.tolist() == [4, 6, 6]


def test_pairs_by_hand():
    texts = (["a", "a a a", "a a a"], ["b c", "b b", "b b b"])
    features = tokenize(Examples(texts), preprocessor(8))
    assert row(features, 0) == ([2, 5, 3, 6, 7, 3], [0, 0, 0, 1, 1, 1])
    assert row(features, 1) == ([2, 5, 5, 5, 3, 6, 6, 3], [0] * 5 + [1] * 3)
    assert features.num_truncated == 1


def test_more_rows_than_one_chunk_keep_their_order():
    texts = ["a " * (1 + i % 5) for i in range(2500)]
    features = tokenize(Examples((texts,)), preprocessor(6))
    assert features.lengths.tolist() == [min(6, 3 + i % 5) for i in range(2500)]
    assert features.num_truncated == 500
