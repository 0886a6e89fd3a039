"""Check questions, contexts and answers from the user."""

import numbers
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from adapters_tf.errors import DataError


def read_questions_and_contexts(
    x: Any, may_be_empty: bool = False
) -> tuple[list[str], list[str]]:
    """Read the two columns of texts.

    Args:
        x: A tuple `(questions, contexts)` of N texts each: lists, arrays, string
            tensors or other sequences.
        may_be_empty: Take empty texts, as servables do.

    Raises:
        DataError: if `x` is no such tuple, the lengths differ, or a text is empty.
    """
    if not isinstance(x, tuple) or len(x) != 2 or isinstance(x[0], str | bytes):
        came = f"a {type(x).__name__}"
        if isinstance(x, tuple | list):
            came += f" of {len(x)}: {', '.join(type(part).__name__ for part in x[:3])}"
        raise DataError(
            "Questions must be given as a tuple (questions, contexts) of two lists of "
            f"texts, or as a dictionary of windows with token_ids. Received: {came}"
        )
    questions, contexts = (_texts(column) for column in x)
    if len(questions) != len(contexts) or not questions:
        raise DataError(
            "There must be one context for each question, and one at least. Received: "
            f"{len(questions)} questions and {len(contexts)} contexts"
        )
    for name, column in (("question", questions), ("context", contexts)):
        for row, text in enumerate(column):
            check_text(text, name, f"row {row}", may_be_empty)
    return questions, contexts


def read_answers(y: Any, contexts: list[str]) -> list[tuple[str, int]]:
    """Read the answers and check that each is in its context.

    Args:
        y: N pairs `(text, start)`; `start` is the index, from 0, of the text's first
            character in the context.
        contexts: The N contexts.

    Raises:
        DataError: if the number of answers is not N, one is not such a pair, or its
            text is empty or not at `start`.
    """
    answers = list(y)
    if len(answers) != len(contexts):
        raise DataError(
            "There must be one answer for each question. Received: "
            f"{len(answers)} answers to {len(contexts)} questions"
        )
    result = []
    for row, answer in enumerate(answers):
        pair = tuple(answer) if isinstance(answer, tuple | list) else (answer,)
        if len(pair) != 2 or not isinstance(pair[1], numbers.Integral):
            raise DataError(
                "Every answer must be a pair of its text and the place of its first "
                "character in the context, such as ('Paris', 17). Received: row "
                f"{row}, {answer!r}"
            )
        check_text(pair[0], "answer", f"row {row}")
        result.append((pair[0], int(pair[1])))
    check_answer_positions(
        (f"row {row}", context, *answer)
        for row, (context, answer) in enumerate(zip(contexts, result, strict=True))
    )
    return result


def check_text(text: Any, name: str, where: str, may_be_empty: bool = False) -> None:
    """Reject a value that is not a text, is empty or has a lone surrogate.

    Args:
        text: The text.
        name: Name of the value, such as `"question"`.
        where: Its row or place in a file.
        may_be_empty: Take an empty text.

    Raises:
        DataError: if it is not a usable text; names the value and its place.
    """
    if not isinstance(text, str):
        raise DataError(
            f"Every {name} must be text. Received: {where} with a {type(text).__name__}"
        )
    if not (may_be_empty or text.strip()):
        raise DataError(f"No {name} may be empty. Received: {where} with an empty one")
    try:
        text.encode()
    except UnicodeEncodeError:
        # A lone escape such as \ud800: TensorFlow supports only UTF-8.
        raise DataError(
            f"Every {name} must be valid Unicode. Received: {where} with one half of a "
            "surrogate pair"
        ) from None


def check_answer_positions(answers: Iterable[tuple[str, str, str, int]]) -> None:
    """Reject answers that are not at their stated positions in the contexts.

    Args:
        answers: For each answer its place in the data, the context, the text, and the
            index of its first character in the context.

    Raises:
        DataError: if there are any; names the first and their number.
    """
    wrong = [
        (where, context, answer, start)
        for where, context, answer, start in answers
        if start < 0 or not context.startswith(answer, start)
    ]
    if wrong:
        where, context, answer, start = wrong[0]
        found = context[max(start, 0) : max(start, 0) + len(answer)]
        raise DataError(
            "The context must hold each answer at its start, counted in characters "
            f"from 0. Received: {where}, answer {answer!r} at {start}, where there is "
            f"{found!r} ({len(wrong)} answers are elsewhere). Offsets in bytes or "
            "UTF-16 units must be converted"
        )


def _texts(column: Any) -> list[Any]:
    if hasattr(column, "numpy"):
        column = column.numpy()
    elif keras.config.backend() == "tensorflow" and keras.ops.is_tensor(column):
        # Inside the map of a tf.data pipeline, where each row must stay one row.
        raise DataError(
            "Questions must be in memory, as one becomes several windows where its "
            "context is long. Received: a dataset of texts. Give (questions, "
            "contexts), or a dataset of windows with token_ids"
        )
    texts = column.tolist() if isinstance(column, np.ndarray) else list(column)
    return [text.decode() if isinstance(text, bytes) else text for text in texts]
