"""Rows of questions to windows of tokens."""

from typing import Any

from adapters_tf.data.examples import QuestionExamples
from adapters_tf.models.question_windows import DOC_STRIDE as DOC_STRIDE
from adapters_tf.models.question_windows import MAX_ANSWER_TOKENS as MAX_ANSWER_TOKENS
from adapters_tf.models.question_windows import (
    MAX_QUESTION_TOKENS as MAX_QUESTION_TOKENS,
)
from adapters_tf.models.question_windows import QuestionFeatures as QuestionFeatures
from adapters_tf.models.question_windows import question_windows


def question_features(
    examples: QuestionExamples, preprocessor: Any, doc_stride: int = DOC_STRIDE
) -> QuestionFeatures:
    """Tokenise questions and contexts into windows.

    Args:
        examples: The rows; the labels are of their first answers, where every row
            has one.
        preprocessor: As `question_windows`.
        doc_stride: Tokens between the starts of two windows.
    """
    return question_windows(
        examples.questions,
        examples.contexts,
        preprocessor,
        examples.first_answers,
        doc_stride,
    )
