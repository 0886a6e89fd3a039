"""Rows packed in a graph, against keras-hub's preprocessor and `question_features`."""

import json
import sys
import unicodedata

import keras_hub
import numpy as np
import pytest
import regex
import tensorflow as tf

from adapters_tf.data.examples import QuestionExamples
from adapters_tf.export.packing import pack_rows
from adapters_tf.export.text_tokens import clean_utf8, tokenize
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.tasks.kinds import kind_named

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


def expected(preprocessor, questions, contexts):
    """Windows of `Kind.prepare`: row, ids, segments and byte offsets."""
    n = len(questions)
    rows = QuestionExamples(list("i" * n), questions, contexts, [()] * n, [()] * n)
    result = kind_named("question_answering").prepare(rows, preprocessor).places
    windows = []
    for i, row in enumerate(result.rows):
        tokens = slice(*result.features.offsets[i : i + 2])
        # bytes before each character, and of the whole
        sizes = [len(c.encode()) for c in contexts[row]]
        at = np.concatenate([[0], np.cumsum(sizes, dtype=int)])
        windows.append(
            (
                row,
                result.features.token_ids[tokens].tolist(),
                result.features.segment_ids[tokens].tolist(),
                [at[s] if s >= 0 else -1 for s in result.starts[i]],
                [at[s] if s >= 0 else -1 for s in result.ends[i]],
            )
        )
    return windows


def found(windows):
    """The same of ours; checks that padding is blank and as little as can be."""
    columns = [
        np.asarray(x)
        for x in (
            windows.inputs["input_word_ids"],
            windows.inputs["input_type_ids"],
            windows.starts,
            windows.ends,
        )
    ]
    mask = np.asarray(windows.inputs["input_mask"]).astype(bool)
    assert all(c.dtype == np.int32 and c.shape == mask.shape for c in columns)
    assert mask.shape[1] == mask.sum(1).max()
    for values, blank in zip(columns, (0, 0, -1, -1), strict=True):
        assert (values[~mask] == blank).all()
    rows = np.asarray(windows.rows)
    assert rows.dtype == np.int32 and (np.diff(rows) >= 0).all()
    return [(rows[i], *(c[i][m].tolist() for c in columns)) for i, m in enumerate(mask)]


def test_every_character_is_cut_into_the_pieces_of_keras_hub():
    # As keras_hub/src/tokenizers/word_piece_tokenizer.py.
    kept = r"!-/:-@\[-`{-~\p{P}\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    kept += r"\U00020000-\U0002a6df\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f"
    piece = regex.compile(rf"[{kept}]|[^{kept} \p{{Cc}}\p{{Cf}}]+")
    # Characters that Python does not know are other ones for each of the libraries.
    known = [
        c
        for c in map(chr, range(1, sys.maxunicode + 1))
        if unicodedata.category(c) not in ("Cn", "Cs", "Co")
    ]
    every = [f"a{c}b {c}\n" for c in known]
    texts = ["".join(every[i : i + 256]) for i in range(0, len(every), 256)]
    tokens = tokenize(_one_token_each, column(texts), in_pieces=True)
    starts, ends = (
        np.split(x.numpy(), tokens.splits.numpy()[1:-1])
        for x in (tokens.starts, tokens.ends)
    )
    for i, text in enumerate(texts):
        data = text.encode()
        at = zip(starts[i], ends[i], strict=True)
        assert [data[s:e].decode() for s, e in at] == piece.findall(text)


def _one_token_each(text):
    """A tokenizer that gives one token for each text, whatever it is."""
    return tf.RaggedTensor.from_row_lengths(
        tf.ones_like(text, tf.int32), tf.ones_like(text, tf.int64)
    )


@pytest.mark.parametrize("length", [8, 11, 32])
def test_windows_are_those_of_training(
    text_tokenizer, text_preprocessor, random_texts, length, question_windows
):
    questions, contexts = random_texts(150, seed=1), random_texts(150, seed=2)
    contexts[:3] = [" ".join(random_texts(20, seed=3)), "", " \n"]
    questions[3:5] = ["", "the " * 200]
    windows = question_windows(
        text_tokenizer, column(questions), column(contexts), length
    )
    got = found(windows)
    assert len(got) > 200
    assert got == expected(text_preprocessor(length), questions, contexts)


def test_long_windows_have_the_fixed_stride(
    text_tokenizer, text_preprocessor, question_windows
):
    contexts = [" ".join(f"the {i} café" for i in range(400)), "the café"]
    questions = ["what is the café?"] * 2
    got = found(
        question_windows(text_tokenizer, column(questions), column(contexts), 384)
    )
    assert got == expected(text_preprocessor(384), questions, contexts)
    row, _, _, starts, _ = got[1]
    first = [s for s in starts if s >= 0][0]
    assert row == 0 and first == [s for s in got[0][3] if s >= 0][128]


def test_one_window_by_hand(question_windows):
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] who ? the queen caf ##é 中 文".split()
    tokenizer = keras_hub.models.BertTokenizer(words)
    windows = question_windows(
        tokenizer, tf.constant(["who?"]), tf.constant(["the café 中文"]), 16
    )
    assert windows.inputs["input_word_ids"].numpy().tolist() == [
        [2, 5, 6, 3, 7, 9, 10, 11, 12, 3]
    ]
    assert windows.inputs["input_type_ids"].numpy().tolist() == [[0] * 4 + [1] * 6]
    # é has two bytes, 中 and 文 three each; a piece's tokens carry all of it.
    assert windows.starts.numpy().tolist() == [[-1] * 4 + [0, 4, 4, 10, 13, -1]]
    assert windows.ends.numpy().tolist() == [[-1] * 4 + [3, 9, 9, 13, 16, -1]]


def test_windows_too_small_for_a_question_keep_a_token_of_the_context(
    text_tokenizer, question_windows
):
    question, context = column(["what is the café?"] * 5), column(["a b"] * 5)
    windows = question_windows(text_tokenizer, question, context, [7, 6, 4, 2, 0])
    lengths = windows.inputs["input_mask"].numpy().sum(1)
    rows = windows.rows.numpy()
    assert rows.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert [lengths[rows == i].max() for i in range(5)] == [7, 6, 4, 4, 4]
    assert ((windows.starts.numpy() >= 0).sum(1) == 1).all()


def test_bytes_that_are_not_utf8_count_as_replacement_characters(
    text_tokenizer, text_preprocessor, question_windows
):
    questions = [b"what \xff?", b"the \xc3", b"is"]
    contexts = [b"caf\xe9 the \xed\xa0\x80", b"\x80\x80 a\x00b \x00", b"\xf0\x9f\x98"]
    windows = question_windows(text_tokenizer, column(questions), column(contexts), 12)
    decoded = [[t.decode("utf-8", "replace") for t in c] for c in (questions, contexts)]
    assert found(windows) == expected(text_preprocessor(12), *decoded)


def mixed_batch(random_texts, n, seed):
    random = np.random.default_rng(seed)
    text, text_pair = random_texts(n, seed), random_texts(n, seed + 1)
    is_question = random.random(n) < 0.4
    has_pair = random.random(n) < 0.5
    lengths = random.choice([8, 10, 16, 40], n).astype(np.int32)
    lengths[~is_question & (random.random(n) < 0.2)] = 2
    return text, text_pair, has_pair, is_question, lengths


def test_mixed_rows_are_as_if_alone(
    text_tokenizer, random_texts, pack_texts, question_windows
):
    text, text_pair, has_pair, is_question, lengths = mixed_batch(random_texts, 120, 5)

    @tf.function(input_signature=[STRINGS, STRINGS, FLAGS, FLAGS, NUMBERS])
    def mixed(*arguments):
        return pack_rows(text_tokenizer, *arguments)

    windows = mixed(column(text), column(text_pair), has_pair, is_question, lengths)
    got = found(windows)
    assert len(got) > 130
    for i in range(len(text)):
        ours = [window[1:] for window in got if window[0] == i]
        row = column(text[i : i + 1]), column(text_pair[i : i + 1])
        if is_question[i]:
            alone = question_windows(text_tokenizer, *row, int(lengths[i]))
            assert ours == [window[1:] for window in found(alone)], i
            continue
        row = row if has_pair[i] else (row[0], None)
        alone = pack_texts(text_tokenizer, *row, int(lengths[i]))
        ids, types = (
            alone[f"input_{k}_ids"].numpy()[0].tolist() for k in ("word", "type")
        )
        blank = [-1] * len(ids)
        assert ours == [(ids, types, blank, blank)], i


def test_rows_without_room_are_not_tokenised(text_tokenizer):
    seen = []

    class Tokenizer:
        backbone_cls = keras_hub.models.BertBackbone
        pad_token_id, start_token_id, end_token_id = 0, 2, 3

        def __call__(self, text):
            seen.extend(text.numpy().tolist())
            return _one_token_each(text)

    tokenizer = Tokenizer()
    tf.config.run_functions_eagerly(True)
    try:
        pack_rows(
            tokenizer,
            tf.constant(["no", "yes", "what?"]),
            tf.constant(["no", "no", "that"]),
            tf.constant([True, False, True]),
            tf.constant([False, False, True]),
            tf.constant([2, 8, 8]),
        )
    finally:
        tf.config.run_functions_eagerly(False)
    assert sorted(filter(None, seen)) == [b"?", b"that", b"what", b"yes"]


def test_empty_batch(text_tokenizer, question_windows):
    none = tf.constant([], tf.string)
    flags = tf.constant([], tf.bool)
    for windows in (
        question_windows(text_tokenizer, none, none, 16),
        pack_rows(text_tokenizer, none, none, flags, flags, 16),
    ):
        assert windows.rows.shape == (0,)
        assert windows.inputs["input_word_ids"].shape[0] == 0


@pytest.mark.parametrize("text_tokenizer", ["uncased"], indirect=True)
def test_saved_model_in_a_session_of_a_new_process(
    text_tokenizer, run_session, random_texts
):
    batch = mixed_batch(random_texts, 60, 9)

    @tf.function(
        input_signature=[
            tf.TensorSpec(spec.shape, spec.dtype, name)
            for spec, name in (
                (STRINGS, "text"),
                (STRINGS, "text_pair"),
                (FLAGS, "has_pair"),
                (FLAGS, "is_question"),
                (NUMBERS, "seq_lengths"),
            )
        ]
    )
    def mixed(text, text_pair, has_pair, is_question, seq_lengths):
        windows = pack_rows(
            text_tokenizer, text, text_pair, has_pair, is_question, seq_lengths
        )
        return {**windows.inputs, **windows._asdict(), "inputs": windows.rows}

    text, text_pair, has_pair, is_question, lengths = batch
    text = [*BROKEN, *text[len(BROKEN) :]]
    got = run_session(
        mixed,
        text=column(text).numpy(),
        text_pair=column(text_pair).numpy(),
        has_pair=has_pair,
        is_question=is_question,
        seq_lengths=lengths,
    )
    here = mixed(column(text), column(text_pair), has_pair, is_question, lengths)
    assert set(got) == set(here)
    for name, value in here.items():
        np.testing.assert_array_equal(got[name], value.numpy())


def test_real_questions_have_the_windows_of_training(
    data_root, text_tokenizer, text_preprocessor, question_windows
):
    path = data_root / "squad_xquad_en" / "xquad.en.json"
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    pairs = [
        (question["question"], paragraph["context"])
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ][::6]
    questions, contexts = map(list, zip(*pairs, strict=True))
    got = found(
        question_windows(text_tokenizer, column(questions), column(contexts), 384)
    )
    assert len(got) > len(questions) > 150
    assert got == expected(text_preprocessor(384), questions, contexts)


# === Texts and pairs ===


def expected_rows(preprocessor, *columns):
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
    text_tokenizer, text_preprocessor, random_texts, pack_texts
):
    texts = random_texts(400, seed=1)
    packed = pack_texts(text_tokenizer, column(texts), None, 24)
    assert rows_of(packed) == expected_rows(text_preprocessor(24), texts)


@pytest.mark.parametrize("length", [3, 4, 7, 16, 33])
def test_pairs_are_those_of_keras_hub(
    text_tokenizer, text_preprocessor, random_texts, length, pack_texts
):
    first, second = random_texts(150, seed=2), random_texts(150, seed=3)
    packed = pack_texts(text_tokenizer, column(first), column(second), length)
    assert rows_of(packed) == expected_rows(text_preprocessor(length), first, second)


def test_rows_with_limits_and_pairs_of_their_own_are_as_if_alone(
    text_tokenizer, text_preprocessor, random_texts, pack_texts
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
        assert [got[i]] == expected_rows(text_preprocessor(int(lengths[i])), *texts), i
    # An empty second text is not the same as none.
    assert {got[i]["input_type_ids"][-1] for i in range(20)} == {0, 1}


def test_pairs_by_hand(pack_texts):
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


def test_limits_below_the_special_tokens_leave_only_these(text_tokenizer, pack_texts):
    texts = column(["what is the cafe"] * 3)
    limits = tf.constant([2, 1, 0])
    single = pack_texts(text_tokenizer, texts, None, limits)
    assert single["input_word_ids"].numpy().tolist() == [[2, 3]] * 3
    pairs = pack_texts(text_tokenizer, texts, texts, limits)
    assert pairs["input_word_ids"].numpy().tolist() == [[2, 3, 3]] * 3


BROKEN = [
    b"caf\xe9",
    b"\xff\xfe",
    b"a \xed\xa0\x80 b",
    b"\xe4\xb8",
    b"\xf0\x9f\x98 x\x00y",
]


def test_texts_that_are_not_utf8_count_as_replacement_characters(
    text_tokenizer, text_preprocessor, pack_texts
):
    decoded = [b.decode("utf-8", "replace") for b in BROKEN]
    assert [t.decode() for t in clean_utf8(column(BROKEN)).numpy()] == decoded
    packed = pack_texts(text_tokenizer, column(BROKEN), None, 32)
    assert rows_of(packed) == expected_rows(text_preprocessor(32), decoded)


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


def test_real_texts_are_those_of_keras_hub(
    data_root, text_tokenizer, text_preprocessor, pack_texts
):
    lines = (data_root / "mrpc" / "dev.tsv").read_text(encoding="utf-8-sig")
    fields = [line.split("\t") for line in lines.splitlines()[1:]]
    first, second = [f[3] for f in fields], [f[4] for f in fields]
    packed = pack_texts(text_tokenizer, column(first), column(second), 128)
    got = rows_of(packed)
    assert len(got) > 400
    assert got == expected_rows(text_preprocessor(128), first, second)
