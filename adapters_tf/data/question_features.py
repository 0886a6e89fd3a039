"""Questions on contexts as windows of tokens, and answers out of them."""

import dataclasses
import re
from typing import Any

import numpy as np

from adapters_tf.data.examples import QuestionExamples
from adapters_tf.data.features import Features

# Pieces in which no tokenizer of ours joins characters across the border, so
# that a token belongs to one stretch of the original text. Combining accents
# stay with their letter.
_PIECE = re.compile(r"[\w\u0300-\u036f]+|[^\w\s]")
MAX_QUESTION_TOKENS = 64
DOC_STRIDE = 128
MAX_ANSWER_TOKENS = 30


@dataclasses.dataclass(frozen=True)
class _Tokens:
    """Tokens of one text with the piece of text that each came from."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


@dataclasses.dataclass(frozen=True)
class QuestionFeatures:
    """Windows over the contexts, as in BERT's `run_squad.py`.

    A context that does not fit beside its question is covered by windows that
    start `doc_stride` tokens apart, or half a window where that is less.

    Attributes:
        features: The W windows; `labels` are `[W, 2]` int32 positions of the
            answer's first and last token, `[0, 0]` where the window does not
            hold it, or `None` without answers.
        rows: `[W]` row of the examples that each window is of.
        starts: For each window its tokens' first character in the context, -1
            for tokens of the question and special ones.
        ends: The character after each token, likewise.
        num_unlocated: Answers that no window holds whole.
    """

    features: Features
    rows: np.ndarray
    starts: list[np.ndarray]
    ends: list[np.ndarray]
    num_unlocated: int = 0

    def answers(
        self, logits: list[np.ndarray], contexts: Any
    ) -> list[tuple[str, int, float]]:
        """The best answer to each question.

        Args:
            logits: `[tokens, 2]` start and end logits of each window.
            contexts: The examples' contexts.

        Returns:
            For each row the answer's text, its first character in the context
            and its score, the sum of its two logits: the highest over all
            spans in the context of at most `MAX_ANSWER_TOKENS` tokens.
        """
        best: list[tuple[str, int, float]] = [("", 0, -np.inf)] * len(contexts)
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
                best[row] = (contexts[row][start:end], start, float(scores[i, j]))
        return best


def question_features(
    examples: QuestionExamples, preprocessor: Any, doc_stride: int = DOC_STRIDE
) -> QuestionFeatures:
    """Tokenise questions and contexts into windows.

    Args:
        examples: The rows.
        preprocessor: From `load_preprocessor`; gives the tokenizer and, by its
            `sequence_length`, the size of a window.
        doc_stride: Tokens between the starts of two windows.
    """
    tokenizer, size = preprocessor.tokenizer, preprocessor.sequence_length
    questions = [t.ids for t in _tokenize(examples.questions, tokenizer)]
    contexts = _tokenize(examples.contexts, tokenizer)
    labelled = all(examples.answers)
    windows: list[tuple[np.ndarray, np.ndarray]] = []
    rows, starts, ends, labels = [], [], [], []
    num_cut = num_unlocated = 0
    for row, (question, context) in enumerate(zip(questions, contexts, strict=True)):
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
            if labelled:
                labels.append(_label(examples, row, starts[-1], ends[-1]))
                held = held or labels[-1] != (0, 0)
        num_unlocated += labelled and not held
    lengths = [len(ids) for ids, _ in windows]
    features = Features(
        token_ids=np.concatenate([w[0] for w in windows]).astype(np.int32),
        segment_ids=np.concatenate([w[1] for w in windows]).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        labels=np.array(labels, np.int32) if labelled else None,
        num_truncated=int(num_cut),
    )
    return QuestionFeatures(features, np.array(rows), starts, ends, int(num_unlocated))


def _window_starts(num_tokens: int, room: int, stride: int) -> list[int]:
    starts = [0]
    while starts[-1] + room < num_tokens:
        # Windows overlap by half at least, or answers on a border are lost.
        starts.append(starts[-1] + min(stride, max(1, room // 2)))
    return starts


def _label(
    examples: QuestionExamples, row: int, starts: np.ndarray, ends: np.ndarray
) -> tuple[int, int]:
    begin = examples.starts[row][0]
    end = begin + len(examples.answers[row][0])
    first = np.flatnonzero((starts >= 0) & (starts <= begin) & (begin < ends))
    last = np.flatnonzero((starts >= 0) & (starts < end) & (end <= ends))
    if not len(first) or not len(last):
        return (0, 0)
    # A piece of several tokens gives each of them the piece's own stretch.
    return int(first[0]), int(last[-1])


def _tokenize(texts: Any, tokenizer: Any) -> list[_Tokens]:
    pieces = [list(_PIECE.finditer(text)) for text in texts]
    words = sorted({m.group() for row in pieces for m in row})
    if not words:
        words = [""]
    # On a list of strings every keras-hub tokenizer returns a list of lists.
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
