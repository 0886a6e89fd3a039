"""Texts packed in a graph, against keras-hub's preprocessor."""

import sys
import unicodedata

import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.export.text_inputs import pack_texts
from adapters_tf.export.text_tokens import clean_utf8, tokenize
from adapters_tf.models.presets import load_preprocessor, preprocess_texts

HUB = {
    "input_word_ids": "token_ids",
    "input_mask": "padding_mask",
    "input_type_ids": "segment_ids",
}
STRINGS = tf.TensorSpec([None], tf.string)
NUMBERS = tf.TensorSpec([None], tf.int32)
FLAGS = tf.TensorSpec([None], tf.bool)


def column(texts):
    return tf.constant([t if isinstance(t, bytes) else t.encode() for t in texts])


def expected(preprocessor, *columns):
    """Each row of keras-hub's batch, without padding."""
    columns = tuple(column(c) for c in columns)
    packed = preprocess_texts(preprocessor, columns if len(columns) > 1 else columns[0])
    mask = np.asarray(packed["padding_mask"]).astype(bool)
    return [
        {h: np.asarray(packed[k])[i][m].tolist() for h, k in HUB.items()}
        for i, m in enumerate(mask)
    ]


def rows_of(inputs):
    """Each row of ours, without padding; and the batch is as long as the longest."""
    arrays = {k: np.asarray(v) for k, v in inputs.items()}
    assert all(a.dtype == np.int32 for a in arrays.values())
    mask = arrays["input_mask"].astype(bool)
    lengths = mask.sum(1)
    assert (mask == (np.arange(mask.shape[1]) < lengths[:, None])).all()
    assert mask.shape[1] == lengths.max()
    assert not any(a[~mask].any() for a in arrays.values())  # [PAD] is 0 here
    return [
        {k: a[i][m].tolist() for k, a in arrays.items()} for i, m in enumerate(mask)
    ]


def test_single_texts_are_those_of_keras_hub(
    text_tokenizer, text_preprocessor, random_texts
):
    texts = random_texts(400, seed=1)
    packed = pack_texts(text_tokenizer, column(texts), None, 24)
    assert rows_of(packed) == expected(text_preprocessor(24), texts)


@pytest.mark.parametrize("length", [3, 4, 7, 16, 33])
def test_pairs_are_those_of_keras_hub(
    text_tokenizer, text_preprocessor, random_texts, length
):
    first, second = random_texts(150, seed=2), random_texts(150, seed=3)
    packed = pack_texts(text_tokenizer, column(first), column(second), length)
    assert rows_of(packed) == expected(text_preprocessor(length), first, second)


def test_rows_with_limits_and_pairs_of_their_own_are_as_if_alone(
    text_tokenizer, text_preprocessor, random_texts
):
    n = 200
    first, second = random_texts(n, seed=4), random_texts(n, seed=5)
    second[:20] = [""] * 20
    random = np.random.default_rng(0)
    lengths = random.choice([4, 5, 9, 16, 64], n).astype(np.int32)
    has_pair = random.random(n) < 0.5

    @tf.function(input_signature=[STRINGS, STRINGS, NUMBERS, FLAGS])
    def pack(text, text_pair, seq_lengths, has_pair):
        return pack_texts(text_tokenizer, text, text_pair, seq_lengths, has_pair)

    got = rows_of(pack(column(first), column(second), lengths, has_pair))
    for i in range(n):
        texts = ([first[i]], [second[i]]) if has_pair[i] else ([first[i]],)
        assert [got[i]] == expected(text_preprocessor(int(lengths[i])), *texts), i
    # An empty second text is not the same as none.
    assert {got[i]["input_type_ids"][-1] for i in range(20)} == {0, 1}


def test_by_hand():
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c".split()
    tokenizer = keras_hub.models.BertTokenizer(words)
    packed = pack_texts(
        tokenizer,
        tf.constant(["a b c a b", "a", "b", ""]),
        tf.constant(["c c c", "b", "", "ignored"]),
        tf.constant([8, 3, 9, 9]),
        tf.constant([True, True, True, False]),
    )
    assert packed["input_word_ids"].numpy().tolist() == [
        [2, 5, 6, 7, 3, 7, 7, 3],  # 5 places: 3 and 2
        [2, 3, 3, 0, 0, 0, 0, 0],  # no place
        [2, 6, 3, 3, 0, 0, 0, 0],  # an empty second text
        [2, 3, 0, 0, 0, 0, 0, 0],
    ]
    assert packed["input_type_ids"].numpy().tolist() == [
        [0, 0, 0, 0, 0, 1, 1, 1],
        [0, 0, 1, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert packed["input_mask"].numpy().sum(1).tolist() == [8, 3, 4, 2]


def test_limits_below_the_special_tokens_leave_only_these(text_tokenizer):
    texts = column(["what is the cafe"] * 3)
    limits = tf.constant([2, 1, 0])
    single = pack_texts(text_tokenizer, texts, None, limits)
    assert single["input_word_ids"].numpy().tolist() == [[2, 3]] * 3
    pairs = pack_texts(text_tokenizer, texts, texts, limits)
    assert pairs["input_word_ids"].numpy().tolist() == [[2, 3, 3]] * 3


def test_empty_batch(text_tokenizer):
    packed = pack_texts(text_tokenizer, tf.constant([], tf.string), None, 16)
    assert {k: v.shape[0] for k, v in packed.items()} == dict.fromkeys(HUB, 0)


BROKEN = [
    b"caf\xe9",
    b"\xff\xfe",
    b"a \xed\xa0\x80 b",
    b"\xe4\xb8",
    b"\xf0\x9f\x98 x\x00y",
]


def test_bytes_that_are_not_utf8_count_as_replacement_characters(
    text_tokenizer, text_preprocessor
):
    decoded = [b.decode("utf-8", "replace") for b in BROKEN]
    assert [t.decode() for t in clean_utf8(column(BROKEN)).numpy()] == decoded
    packed = pack_texts(text_tokenizer, column(BROKEN), None, 32)
    assert rows_of(packed) == expected(text_preprocessor(32), decoded)


def test_nothing_behind_a_nul_is_lost(text_tokenizer):
    texts = tf.constant([b"what\x00is\x00", b"what is"])
    for in_pieces in (False, True):
        tokens = tokenize(text_tokenizer, texts, in_pieces)
        assert tokens.lengths.numpy().tolist() == [2, 2]


def test_all_characters_but_new_ones_are_tokenised_as_by_keras_hub_in_python(
    text_tokenizer,
):
    """keras-hub has one tokenizer in Python, for training, and one in graphs."""
    texts = [
        f"a{chr(c)}b"
        for c in range(sys.maxunicode + 1)
        # Python and TensorFlow are of different Unicode versions.
        if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co")
    ]
    tokens = tokenize(text_tokenizer, column(texts), False)
    ids = np.split(tokens.ids.numpy(), tokens.splits.numpy()[1:-1])
    python = text_tokenizer(texts)
    both = zip(texts, ids, python, strict=True)
    assert [t for t, ours, theirs in both if ours.tolist() != list(theirs)] == []


def test_saved_model_in_a_session_of_a_new_process(run_session, tiny_preset):
    preprocessor = load_preprocessor(tiny_preset, 9)
    tokenizer = preprocessor.tokenizer

    @tf.function(input_signature=[STRINGS, STRINGS, NUMBERS, FLAGS])
    def pack(text, text_pair, seq_lengths, has_pair):
        return pack_texts(tokenizer, text, text_pair, seq_lengths, has_pair)

    first = ["The film was very good.", "so it", "", "bad \xe9 actor \U0001f600 plot"]
    second = ["and the actor", "", "", "a lovely plot"]
    got = run_session(
        pack,
        text=np.array([t.encode() for t in first], object),
        text_pair=np.array([t.encode() for t in second], object),
        seq_lengths=np.full(4, 9, np.int32),
        has_pair=np.ones(4, bool),
    )
    assert rows_of(got) == expected(preprocessor, first, second)


def test_real_texts_are_those_of_keras_hub(
    data_root, text_tokenizer, text_preprocessor
):
    lines = (data_root / "mrpc" / "dev.tsv").read_text(encoding="utf-8-sig")
    fields = [line.split("\t") for line in lines.splitlines()[1:]]
    first, second = [f[3] for f in fields], [f[4] for f in fields]
    packed = pack_texts(text_tokenizer, column(first), column(second), 128)
    got = rows_of(packed)
    assert len(got) > 400
    assert got == expected(text_preprocessor(128), first, second)
