"""Answers found in a graph, against those of `QuestionFeatures`."""

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.data.examples import QuestionExamples
from adapters_tf.export.preprocessor import best_spans
from adapters_tf.models.question_windows import LOWEST_SCORE, MAX_ANSWER_TOKENS
from adapters_tf.tasks.kinds import kind_named


def column(texts):
    return tf.constant([t if isinstance(t, bytes) else t.encode() for t in texts])


def spans(*arguments):
    """One row after the other: answer, start, end, score."""
    answers = best_spans(*arguments)
    assert [x.dtype for x in answers] == [tf.string, tf.int32, tf.int32, tf.float32]
    texts = [t.decode() for t in answers.answer.numpy()]
    return list(zip(texts, *(x.numpy().tolist() for x in answers[1:]), strict=True))


@pytest.mark.parametrize("ties", [False, True])
def test_answers_are_those_of_training(
    text_tokenizer, text_preprocessor, random_texts, ties, question_windows
):
    n, length = 120, 40
    questions, contexts = random_texts(n, seed=1), random_texts(n, seed=2)
    contexts[:2] = [" ".join(random_texts(30, seed=3)), ""]
    rows = QuestionExamples(list("i" * n), questions, contexts, [()] * n, [()] * n)
    features = (
        kind_named("question_answering").prepare(rows, text_preprocessor(length)).places
    )
    windows = question_windows(
        text_tokenizer, column(questions), column(contexts), length
    )
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (*windows.starts.shape, 2)).astype(np.float32)
    if ties:
        logits = random.integers(0, 2, logits.shape).astype(np.float32)
    sizes = features.features.lengths
    expected = features.answers(
        [window[:size] for window, size in zip(logits, sizes, strict=True)], contexts
    )
    got = spans(
        logits[..., 0],
        logits[..., 1],
        windows.rows,
        n,
        windows.starts,
        windows.ends,
        column(contexts),
    )
    assert len({answer for answer, *_ in got}) > 60
    for (answer, start, end, score), (text, begin, best) in zip(
        got, expected, strict=True
    ):
        assert (answer, start, max(score, LOWEST_SCORE)) == (text, begin, best)
        assert end == start + len(answer)
    assert got[1] == ("", 0, 0, -np.inf)


# "a bé 中😀 d" has the pieces a, bé, 中, 😀, d; \w joins no two of them.
TEXT = "a bé 中😀 d"
STARTS = [[-1, 0, 2, 6, 9, 14, -1]]
ENDS = [[-1, 1, 5, 9, 13, 15, -1]]


def one(start, end, rows=(0,), starts=STARTS, ends=ENDS, texts=(TEXT,)):
    return spans(
        tf.constant(start, tf.float32),
        tf.constant(end, tf.float32),
        tf.constant(rows),
        len(texts),
        tf.constant(starts),
        tf.constant(ends),
        column(texts),
    )


def test_offsets_count_characters_by_hand():
    got = one([[9, 0, 0, 5, 0, 0, 9]], [[9, 0, 8, 0, 4, 0, 9]])
    # An end before the start is no answer, nor are tokens outside of the context.
    assert got == [("中😀", 5, 7, 9.0)]
    assert one([[0, 0, 1, 0, 0, 0, 0]], [[0, 0, 1, 0, 0, 0, 0]]) == [("bé", 2, 4, 2.0)]
    assert one([[0, 1, 0, 0, 0, 0, 0]], [[0, 0, 0, 0, 0, 1, 0]]) == [(TEXT, 0, 9, 2.0)]


def test_of_equal_spans_the_first_of_the_first_window():
    zeros = [[0.0] * 7] * 2
    got = one(zeros, zeros, rows=(0, 0), starts=STARTS * 2, ends=ENDS * 2)
    assert got == [("a", 0, 1, 0.0)]
    # Of equal starts the first end; of equal windows the first.
    start = [[0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0]]
    end = [[0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 0]]
    got = one(start, end, rows=(0, 0), starts=STARTS * 2, ends=ENDS * 2)
    assert got == [("bé 中", 2, 6, 2.0)]
    start[1][3] = 2
    got = one(start, end, rows=(0, 0), starts=STARTS * 2, ends=ENDS * 2)
    assert got == [("中😀", 5, 7, 3.0)]


def test_rows_compete_among_their_own_windows_only():
    start, end = np.zeros((3, 7), np.float32), np.zeros((3, 7), np.float32)
    start[0, 2], start[1, 1], start[2, 5] = 5, 7, 1
    none = [[-1] * 7]
    got = one(
        start,
        end,
        rows=(0, 1, 2),
        starts=STARTS + none + STARTS,
        ends=ENDS + none + ENDS,
        texts=(TEXT, "of another task", TEXT),
    )
    assert got == [("bé", 2, 4, 5.0), ("", 0, 0, -np.inf), ("d", 8, 9, 1.0)]


@pytest.mark.parametrize("extra", [0, 1])
def test_no_answer_is_longer_than_the_limit(extra):
    n = MAX_ANSWER_TOKENS + extra
    start, end = np.zeros((1, n), np.float32), np.zeros((1, n), np.float32)
    start[0, 0], end[0, -1] = 5, 4
    at = np.arange(n)[None] * 2
    (answer, *_, score), *_ = one(start, end, starts=at, ends=at + 1, texts=("a " * n,))
    assert (len(answer), score) == ((2 * n - 1, 9.0) if not extra else (1, 5.0))


def test_infinite_and_undefined_logits_do_not_fail():
    nan, inf = [[float("nan")] * 7], [[float("inf")] * 7]
    assert one(nan, nan) == [("", 0, 0, -np.inf)]
    assert one(inf, [[0.0] * 7]) == [("a", 0, 1, np.inf)]


def test_context_that_is_not_utf8_gives_valid_text(text_tokenizer, question_windows):
    context = column([b"\xffa caf\xe9 b"])
    windows = question_windows(text_tokenizer, column(["what?"]), context, 32)
    shape = windows.starts.shape
    start = np.zeros(shape, np.float32)
    # U+FFFD, of three bytes, is a symbol: keras-hub does not cut at it.
    start[windows.starts.numpy() == 5] = 1
    got = spans(
        start, np.zeros(shape, np.float32), windows.rows, 1, *windows[2:], context
    )
    assert got == [("caf\ufffd", 3, 7, 1.0)]
    start[:] = 0
    end = (windows.ends.numpy() == 11).astype(np.float32)
    got = spans(start, end, windows.rows, 1, *windows[2:], context)
    assert got == [("\ufffda caf\ufffd", 0, 7, 1.0)]


def test_empty_batch(text_tokenizer, question_windows):
    none = tf.constant([], tf.string)
    windows = question_windows(text_tokenizer, none, none, 16)
    logits = tf.zeros(tf.shape(windows.starts))
    assert spans(logits, logits, windows.rows, 0, *windows[2:], none) == []


@pytest.mark.parametrize("text_tokenizer", ["uncased"], indirect=True)
def test_saved_model_in_a_session_of_a_new_process(
    text_tokenizer, run_session, question_windows
):
    """Questions and contexts as strings in, answers out; token ids for logits."""
    strings = tf.TensorSpec([None], tf.string)

    @tf.function(input_signature=[strings, strings])
    def answer(text, text_pair):
        windows = question_windows(text_tokenizer, text, text_pair, 16)
        logits = tf.cast(windows.inputs["input_word_ids"] * 7 % 11, tf.float32)
        answers = best_spans(
            logits,
            -logits,
            windows.rows,
            tf.size(text),
            windows.starts,
            windows.ends,
            text_pair,
        )
        return answers._asdict()

    questions = ["what is it?", "", "the café?"]
    contexts = ["the café is 中文字 é 😀 3.14. " * 4, "", "is"]
    got = run_session(
        answer,
        text=np.array([t.encode() for t in questions], object),
        text_pair=np.array([t.encode() for t in contexts], object),
    )
    here = answer(column(questions), column(contexts))
    for name, value in here.items():
        np.testing.assert_array_equal(got[name], value.numpy())
    for i, context in enumerate(contexts):
        begin, end = got["answer_start"][i], got["answer_end"][i]
        assert context[begin:end] == got["answer"][i].decode()
    assert got["answer"][0] and got["answer"][2] == b"is"
