"""Split questions with contexts into token windows, and find the answers."""

import dataclasses
import functools
import re
import string
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from adapters_tf.errors import UserError
from adapters_tf.models.features import Features
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.word_tokens import check_word_pieces

# The ideographs at which BERT and keras-hub's WordPiece cut, as ranges.
_IDEOGRAPHS = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df"
    "\U0002a700-\U0002b73f\U0002b740-\U0002b81f\U0002b820-\U0002ceaf"
    "\U0002f800-\U0002fa1f"
)
MAX_QUESTION_TOKENS = 64
DOC_STRIDE = 128
MAX_ANSWER_TOKENS = 30
# Half of it holds the question; the rest [CLS], two [SEP] and one context token.
MIN_WINDOW_TOKENS = 8
# Of a context without any token. JSON has no infinity.
LOWEST_SCORE = -1e9


class Answer(NamedTuple):
    """A predicted answer.

    Attributes:
        text: The answer, an exact substring of the context.
        start: Index of its first character in the context, from 0.
        score: The sum of its start and end logits.
    """

    text: str
    start: int
    score: float


@dataclasses.dataclass(frozen=True)
class _Tokens:
    """Tokens of one text, each with its span of the text."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


@dataclasses.dataclass(frozen=True)
class QuestionFeatures:
    """Windows over the contexts, as in BERT's `run_squad.py`.

    Several windows cover a context that does not fit beside its question. They start
    `doc_stride` tokens apart, or half a window if that is less.

    Attributes:
        features: The W windows; `labels` are `[W, 2]` int32 positions of the
            answer's first and last token, `[0, 0]` where the window does not
            hold it, or `None` without answers.
        rows: `[W]` row of each window's question.
        starts: For each window, the index of each token's first character in the
            context; -1 for question tokens and special tokens.
        ends: Likewise the index of the character after each token.
        num_unlocated: Number of answers that no window holds completely.
    """

    features: Features
    rows: np.ndarray
    starts: list[np.ndarray]
    ends: list[np.ndarray]
    num_unlocated: int = 0

    def answers(
        self, logits: Sequence[np.ndarray], contexts: Sequence[str]
    ) -> list[Answer]:
        """Return the best answer to each question.

        Args:
            logits: `[tokens, 2]` start and end logits of each window; trailing padding
                is allowed.
            contexts: The contexts of all questions.

        Returns:
            For each row, the span of the context with the highest score among those of
            at most `MAX_ANSWER_TOKENS` tokens; `Answer("", 0, LOWEST_SCORE)` for a
            context without any token.
        """
        best = [Answer("", 0, LOWEST_SCORE)] * len(contexts)
        for window, row in enumerate(self.rows):
            starts, ends = self.starts[window], self.ends[window]
            inside = np.flatnonzero(starts >= 0)
            if not len(inside):
                continue
            first, last = inside[0], inside[-1] + 1
            scores = (
                logits[window][first:last, 0][:, None]
                + logits[window][first:last, 1][None, :]
            )
            n = last - first
            length = np.arange(n)[None, :] - np.arange(n)[:, None]
            scores = np.where(
                (length >= 0) & (length < MAX_ANSWER_TOKENS), scores, -np.inf
            )
            i, j = np.unravel_index(np.argmax(scores), scores.shape)
            if scores[i, j] > best[row][2]:
                start, end = int(starts[first + i]), int(ends[first + j])
                text = contexts[row][start:end]
                best[row] = Answer(text, start, float(scores[i, j]))
        return best


def question_windows(
    questions: Sequence[str],
    contexts: Sequence[str],
    preprocessor: Any,
    answers: Sequence[tuple[str, int]] | None = None,
    doc_stride: int = DOC_STRIDE,
) -> QuestionFeatures:
    """Tokenise questions and contexts into windows.

    Args:
        questions: The N questions.
        contexts: The context of each.
        preprocessor: From `load_preprocessor`; provides the tokenizer, and the window
            size as `sequence_length`.
        answers: For labels, each answer's text and the index of its first character in
            the context; or `None`.
        doc_stride: Tokens between the starts of two windows.

    Raises:
        UserError: if a window has no room for a context beside its question, or see
            `check_word_pieces`.
    """
    tokenizer, size = preprocessor.tokenizer, preprocessor.sequence_length
    check_word_pieces(tokenizer, "Question answering")
    if size < MIN_WINDOW_TOKENS:
        raise UserError(
            f"sequence_length must be {MIN_WINDOW_TOKENS} or more, for a question and "
            f"a context in one window. Received: sequence_length={size}"
        )
    question_tokens = [t.ids for t in _tokenize(questions, tokenizer)]
    context_tokens = _tokenize(contexts, tokenizer)
    windows: list[tuple[np.ndarray, np.ndarray]] = []
    rows, starts, ends, labels = [], [], [], []
    num_cut = num_unlocated = 0
    for row, (question, context) in enumerate(
        zip(question_tokens, context_tokens, strict=True)
    ):
        question = question[: min(MAX_QUESTION_TOKENS, size // 2)]
        room = size - len(question) - 3
        num_cut += len(context.ids) > room
        head = np.concatenate(
            [[tokenizer.cls_token_id], question, [tokenizer.sep_token_id]]
        )
        held = False
        for begin in _window_starts(len(context.ids), room, doc_stride):
            part = slice(begin, begin + room)
            ids = np.concatenate([head, context.ids[part], [tokenizer.sep_token_id]])
            segments = np.arange(len(ids)) >= len(head)
            windows.append((ids, segments))
            rows.append(row)
            pad = (len(head), 1)
            starts.append(np.pad(context.starts[part], pad, constant_values=-1))
            ends.append(np.pad(context.ends[part], pad, constant_values=-1))
            if answers is not None:
                labels.append(_label(answers[row], starts[-1], ends[-1]))
                held = held or labels[-1] != (0, 0)
        num_unlocated += answers is not None and not held
    lengths = [len(ids) for ids, _ in windows]
    features = Features(
        token_ids=np.concatenate([w[0] for w in windows]).astype(np.int32),
        segment_ids=np.concatenate([w[1] for w in windows]).astype(np.int32)
        if "segment_ids" in preprocess_texts(preprocessor, np.array([""]))
        else None,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        labels=None if answers is None else np.array(labels, np.int32),
        num_truncated=int(num_cut),
    )
    return QuestionFeatures(features, np.array(rows), starts, ends, int(num_unlocated))


def delimiters(tokenizer: Any) -> tuple[str, str]:
    """Return the characters at which a WordPiece tokenizer cuts a text into pieces.

    It joins no characters across them, so each token belongs to one span of the text.
    Marks stay with their letter in every script, and symbols with their neighbours.

    Args:
        tokenizer: A keras-hub tokenizer.

    Returns:
        The insides of two classes of a regular expression: of the characters that it
        drops, and of those that are a piece each.
    """
    dropped, kept = _delimiters()
    return dropped, kept + _IDEOGRAPHS * getattr(tokenizer, "split_on_cjk", True)


@functools.cache
def _delimiters() -> tuple[str, str]:
    # keras-hub's white space: U+00A0 and the other spaces outside ASCII do not cut.
    dropped, kept = [" "], {*string.punctuation}
    for character in map(chr, range(sys.maxunicode + 1)):
        category = unicodedata.category(character)
        if category in ("Cc", "Cf"):
            dropped.append(character)
        elif category[0] == "P":
            kept.add(character)
    return re.escape("".join(dropped)), re.escape("".join(sorted(kept)))


def _window_starts(num_tokens: int, room: int, stride: int) -> list[int]:
    starts = [0]
    while starts[-1] + room < num_tokens:
        # Overlap windows by at least half, so that answers at borders are not lost.
        starts.append(starts[-1] + min(stride, max(1, room // 2)))
    return starts


def _label(
    answer: tuple[str, int], starts: np.ndarray, ends: np.ndarray
) -> tuple[int, int]:
    text, begin = answer
    end = begin + len(text)
    first = np.flatnonzero((starts >= 0) & (starts <= begin) & (begin < ends))
    last = np.flatnonzero((starts >= 0) & (starts < end) & (end <= ends))
    if not len(first) or not len(last):
        return (0, 0)
    # All tokens of a piece have the piece's whole span.
    return int(first[0]), int(last[-1])


def _tokenize(texts: Any, tokenizer: Any) -> list[_Tokens]:
    dropped, kept = delimiters(tokenizer)
    piece = re.compile(f"[{kept}]|[^{dropped}{kept}]+")
    pieces = [list(piece.finditer(text)) for text in texts]
    words = sorted({m.group() for row in pieces for m in row})
    if not words:
        words = [""]
    # For a list of strings, every keras-hub tokenizer returns a list of lists.
    known = dict(zip(words, tokenizer(words), strict=True))
    result = []
    for row in pieces:
        token_ids, starts, ends = [], [], []
        for match in row:
            tokens = known[match.group()]
            token_ids.extend(tokens)
            starts.extend([match.start()] * len(tokens))
            ends.extend([match.end()] * len(tokens))
        result.append(
            _Tokens(
                np.array(token_ids, int), np.array(starts, int), np.array(ends, int)
            )
        )
    return result
