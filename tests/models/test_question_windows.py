"""Windows over contexts, the answers' places in them, and answers back."""

import keras_hub
import numpy as np
import pytest

from adapters_tf.data.examples import QuestionExamples
from adapters_tf.tasks.kinds import kind_named

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "who", "sang", "?", "(", ")"]
WORDS += ["the", "queen", "of", "cafe", "in", "par", "##is", ",", "1920", "."]
CONTEXT = "The queen of  Paris, the café in Paris (1920)."


def preprocessor(length):
    tokenizer = keras_hub.models.BertTokenizer(
        WORDS, lowercase=True, strip_accents=True
    )
    return keras_hub.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=length
    )


def question_features(rows, preprocessor):
    return kind_named("question_answering").prepare(rows, preprocessor).places


def examples(answer, start, context=CONTEXT):
    return QuestionExamples(["q1"], ["Who sang?"], [context], [(answer,)], [(start,)])


def test_one_window_by_hand():
    result = question_features(
        examples("Paris", CONTEXT.index("Paris")), preprocessor(32)
    )
    ids = result.features.token_ids
    tokens = [WORDS[i] for i in ids]
    context = "the queen of par ##is , the cafe in par ##is ( 1920 ) ."
    assert tokens == f"[CLS] who sang ? [SEP] {context} [SEP]".split()
    assert result.features.segment_ids.tolist() == [0] * 5 + [1] * 16
    # "Paris" is the tokens 8 and 9; both carry the word's own stretch of text.
    assert result.features.labels.tolist() == [[8, 9]]
    start, end = result.starts[0][8], result.ends[0][9]
    assert CONTEXT[start:end] == "Paris"
    assert result.starts[0][:5].tolist() == [-1] * 5 and result.starts[0][-1] == -1
    assert result.num_unlocated == 0 and result.features.num_truncated == 0


@pytest.mark.parametrize("answer", ["café", "1920", "(1920)", "queen of  Paris"])
def test_answer_comes_back_as_it_stands_in_the_context(answer):
    start = CONTEXT.index(answer)
    result = question_features(examples(answer, start), preprocessor(32))
    first, last = result.features.labels[0]
    logits = np.zeros((len(result.features.token_ids), 2))
    logits[first, 0] = logits[last, 1] = 5.0
    assert result.answers([logits], [CONTEXT]) == [(answer, start, 10.0)]


def test_combining_accent_stays_with_its_letter():
    context = "the cafe\u0301 in Paris"
    result = question_features(examples("cafe\u0301", 4, context), preprocessor(32))
    first, last = result.features.labels[0]
    assert first == last
    assert context[result.starts[0][first] : result.ends[0][last]] == "cafe\u0301"


def test_long_context_is_covered_by_overlapping_windows():
    context = " ".join(["the queen of"] * 8 + ["paris"])
    found = question_features(
        examples("paris", context.index("paris"), context), preprocessor(16)
    )
    # 26 tokens in windows of 16 - 3 - 3 = 10, half a window apart.
    assert found.rows.tolist() == [0] * 5
    assert found.features.lengths.tolist() == [16, 16, 16, 16, 12]
    held = [tuple(label) != (0, 0) for label in found.features.labels]
    assert held == [False, False, False, False, True] or sum(held) >= 1
    assert found.features.num_truncated == 1 and found.num_unlocated == 0
    covered = set()
    for starts in found.starts:
        covered |= set(starts[starts >= 0].tolist())
    assert len(covered) == 25  # 24 words and "paris", of two tokens


def test_best_span_obeys_order_and_length_and_windows_compete():
    result = question_features(examples("queen", 4), preprocessor(32))
    n = len(result.features.token_ids)
    logits = np.zeros((n, 2))
    logits[9, 0] = 3.0  # a start behind the best end must not pair with it
    logits[6, 1] = 3.0
    text, start, score = result.answers([logits], [CONTEXT])[0]
    assert score == 3.0
    logits[:5] = 100.0  # the question's tokens are no answer
    assert result.answers([logits], [CONTEXT])[0][2] == 3.0


def test_answer_that_no_window_holds_is_counted():
    context = " ".join(["the queen of"] * 8)
    result = question_features(examples(context, 0, context), preprocessor(16))
    assert result.num_unlocated == 1
    assert not result.features.labels.any()


def test_unlabelled_questions_have_no_labels():
    rows = QuestionExamples(["a"], ["who?"], [CONTEXT], [()], [()])
    assert question_features(rows, preprocessor(32)).features.labels is None
