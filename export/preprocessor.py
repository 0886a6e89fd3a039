"""The preprocessor SavedModel: from strings to inputs, and from logits to answers."""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import keras_hub
import numpy as np
import tensorflow as tf

from adapters_tf.export.base_functions import INPUTS
from adapters_tf.export.packing import pack_rows, pack_segments
from adapters_tf.export.rows import SEPARATOR
from adapters_tf.export.saving import graph_function, traced_for_saving
from adapters_tf.export.self_check import SAMPLE_PAIRS, SAMPLE_TEXTS, Case, check_export
from adapters_tf.export.text_tokens import (
    clean_utf8,
    tokenize,
    without_growing_table,
    without_ragged_checks,
)
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.question_windows import MAX_ANSWER_TOKENS
from adapters_tf.models.tokenizers import special_tokens

# The preprocessor's directory inside a base SavedModel.
PREPROCESSOR_DIR = "preprocessor"
_STRINGS = tf.TensorSpec([None], tf.string)
_ROWS = tf.TensorSpec([None], tf.int32)
_FLAGS = tf.TensorSpec([None], tf.bool)
_TOKENS = tf.TensorSpec([None, None], tf.int32)
_LOGITS = tf.TensorSpec([None, None], tf.float32)


class PreprocessorFunctions:
    """The functions of a preprocessor SavedModel.

    Args:
        preprocessor: From `load_preprocessor`.

    Attributes:
        tokenizer: The tokenizer that the functions use.
    """

    def __init__(self, preprocessor: Any) -> None:
        self.tokenizer = without_growing_table(preprocessor.tokenizer)
        self._special = special_tokens(self.tokenizer)
        self._seq_length = preprocessor.sequence_length

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        """Convert `[batch]` strings to ragged `[batch, tokens]` int32 ids."""
        with without_ragged_checks():
            tokens = tokenize(self.tokenizer, texts, in_pieces=False)
        # Use int64 splits, as in TF Hub and in the trace of `pack`.
        splits = tf.cast(tokens.splits, tf.int64)
        return tf.RaggedTensor.from_row_splits(tokens.ids, splits, validate=False)

    def pack(self, segments: list[Any], seq_length: Any = None) -> dict[str, Any]:
        """Pack one or two segments of tokens as padded encoder inputs.

        Args:
            segments: Ragged `[batch, tokens]` int32 each.
            seq_length: Length to cut and pad to; the preprocessor's by default.
        """
        length = self._seq_length if seq_length is None else seq_length
        return pack_segments(self._special, segments, length)

    def windows(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Run `pack_rows` with arguments and results by name."""
        with without_ragged_checks():
            windows = pack_rows(self.tokenizer, **rows)
        places = {"starts": windows.starts, "ends": windows.ends}
        return {**windows.inputs, "rows": windows.rows, **places}

    def answers(self, windows: dict[str, Any]) -> dict[str, Any]:
        """Run `best_spans`; `num_rows` is the number of contexts."""
        num_rows = tf.size(windows["context"])
        return best_spans(num_rows=num_rows, **windows)._asdict()


def save_preprocessor(preprocessor: Any, directory: Path) -> None:
    """Write the SavedModel of a preprocessor, and check it.

    It has TF Hub's interface for text preprocessing: `__call__(texts)`,
    `tokenize(texts)` and `bert_pack_inputs([tokens, ...], seq_length=)` of one or two
    segments. Servables use its `windows`, `all_windows` and `answers`.

    Args:
        preprocessor: From `load_preprocessor`; its `sequence_length` is the
            length that `__call__` and `bert_pack_inputs` pack to by default.
        directory: The directory to write.

    Raises:
        UserError: if the SavedModel's tokens differ from those of `preprocessor`.
    """
    functions = PreprocessorFunctions(preprocessor)
    root = tf.train.Checkpoint()
    if not isinstance(functions.tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        # It holds the lookup tables or the model that the functions use.
        root.tokenizer = functions.tokenizer
    root.tokenize = graph_function(functions.tokenize, input_signature=[_STRINGS])
    root.bert_pack_inputs = graph_function(functions.pack)
    ragged = tf.RaggedTensorSpec([None, None], tf.int32)
    lengths = None, tf.TensorSpec([], tf.int32, name="seq_length")
    with traced_for_saving():
        for segments, length in itertools.product(([ragged], [ragged] * 2), lengths):
            root.bert_pack_inputs.get_concrete_function(segments, seq_length=length)
    root.__call__ = graph_function(
        lambda texts: functions.pack([functions.tokenize(texts)]),
        input_signature=[_STRINGS],
    )
    row_specs = {
        "text": _STRINGS,
        "text_pair": _STRINGS,
        "has_pair": _FLAGS,
        "is_question": _FLAGS,
        "seq_lengths": _ROWS,
    }
    root.windows = graph_function(functions.windows, input_signature=[row_specs])
    # A separate, slower function for servables with such tasks.
    more_specs = row_specs | {"is_words": _FLAGS, "is_list": _FLAGS}
    root.all_windows = graph_function(functions.windows, input_signature=[more_specs])
    window_specs = {
        "start_logits": _LOGITS,
        "end_logits": _LOGITS,
        "rows": _ROWS,
        "starts": _TOKENS,
        "ends": _TOKENS,
        "context": _STRINGS,
    }
    root.answers = graph_function(functions.answers, input_signature=[window_specs])
    tf.saved_model.save(root, str(directory))
    check_export(directory, _cases(preprocessor))


def _cases(preprocessor: Any) -> list[Case]:
    texts, pairs = np.array(SAMPLE_TEXTS), np.array(SAMPLE_PAIRS)
    single = _hub_names(preprocess_texts(preprocessor, tf.constant(texts)))
    double = preprocess_texts(preprocessor, (tf.constant(texts), tf.constant(pairs)))
    double = _hub_names(double)
    count, yes = len(texts), np.ones(len(texts), bool)
    rows = {
        "text": texts,
        "text_pair": pairs,
        "has_pair": yes,
        "is_question": ~yes,
        "seq_lengths": np.full(count, preprocessor.sequence_length, np.int32),
    }
    # Windows are padded only to the longest, not to the limit.
    longest = double["input_mask"].sum(axis=1).max()
    triple = _hub_names(
        preprocess_texts(preprocessor, tuple(map(tf.constant, (texts, pairs, texts))))
    )
    more = {"is_words": ~yes, "is_list": yes}
    more["text_pair"] = np.array([*map(SEPARATOR.join, zip(pairs, texts, strict=True))])
    most = triple["input_mask"].sum(axis=1).max()
    return [
        Case("", texts, single),
        Case("windows", rows, {k: v[:, :longest] for k, v in double.items()}),
        Case("all_windows", rows | more, {k: v[:, :most] for k, v in triple.items()}),
    ]


def _hub_names(tokens: dict[str, Any]) -> dict[str, np.ndarray]:
    return {
        name: np.asarray(tokens[ours], np.int32)
        for name, ours in INPUTS.items()
        if ours in tokens
    }


_INF = float("inf")


class Answers(NamedTuple):
    """The best answer to each of B questions.

    Attributes:
        answer: `[B]` strings, valid UTF-8.
        answer_start: `[B]` int32: index of the answer's first character in the context,
            in code points as in Python.
        answer_end: `[B]` int32: index after its last character.
        score: `[B]` float32: the sum of the answer's two logits.
    """

    answer: tf.Tensor
    answer_start: tf.Tensor
    answer_end: tf.Tensor
    score: tf.Tensor


def best_spans(
    start_logits: tf.Tensor,
    end_logits: tf.Tensor,
    rows: tf.Tensor,
    num_rows: tf.Tensor | int,
    starts: tf.Tensor,
    ends: tf.Tensor,
    context: tf.Tensor,
) -> Answers:
    """Find the best span of each row's context, over all of its windows.

    As in `QuestionFeatures.answers`, this is the span with the highest sum of start and
    end logits among spans of at most `MAX_ANSWER_TOKENS` tokens. Ties go to the first
    window, then to the first start, then to the first end.

    A row without any span, such as one with an empty context, gets "", 0, 0 and a score
    of minus infinity.

    Args:
        start_logits: `[W, length]` float32.
        end_logits: `[W, length]` float32.
        rows: `[W]` int32, as in `Windows`.
        num_rows: The number of rows B.
        starts: `[W, length]` int32, as in `Windows`.
        ends: `[W, length]` int32, as in `Windows`.
        context: `[B]` strings, from which the windows were made.

    Returns:
        The answers.
    """
    window_score, first, last = _best_in_windows(start_logits, end_logits, starts >= 0)
    # The first window with its row's best score.
    num_windows = tf.size(rows)
    row_score = tf.math.unsorted_segment_max(window_score, rows, num_rows)
    is_best = (window_score == tf.gather(row_score, rows)) & (window_score > -_INF)
    order = tf.where(is_best, tf.range(num_windows), num_windows)
    window = tf.math.unsorted_segment_min(order, rows, num_rows)
    found = window < num_windows
    window = tf.where(found, window, 0)

    def chosen(values: Any, at: Any) -> Any:
        return tf.where(found, tf.gather_nd(values, tf.stack([window, at], 1)), 0)

    begin = chosen(starts, tf.gather(first, window))
    end = chosen(ends, tf.gather(last, window))
    context = clean_utf8(context)
    answer = tf.strings.substr(context, begin, end - begin)
    answer_start = _num_characters(
        tf.strings.substr(context, tf.zeros_like(begin), begin)
    )
    return Answers(
        answer,
        answer_start,
        answer_start + _num_characters(answer),
        tf.where(found, tf.gather(window_score, window), -_INF),
    )


def _best_in_windows(
    start_logits: tf.Tensor, end_logits: tf.Tensor, inside: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return each window's highest score and its span's first and last token, `[W]`."""
    num_windows, length = tf.unstack(tf.shape(inside))
    # ends[t, k] is the token k places after t.
    ends = tf.range(length)[:, tf.newaxis] + tf.range(MAX_ANSWER_TOKENS)
    pad = [[0, 0], [0, MAX_ANSWER_TOKENS]]
    valid = inside[:, :, tf.newaxis] & tf.gather(tf.pad(inside, pad), ends, axis=1)
    scores = tf.where(
        valid,
        start_logits[:, :, tf.newaxis]
        + tf.gather(tf.pad(end_logits, pad), ends, axis=1),
        -_INF,
    )
    scores = tf.reshape(scores, [num_windows, length * MAX_ANSWER_TOKENS])
    best = tf.argmax(scores, axis=1, output_type=tf.int32)
    first = best // MAX_ANSWER_TOKENS
    # The last token is past the end only if there is no valid span.
    last = tf.minimum(first + best % MAX_ANSWER_TOKENS, length - 1)
    return tf.gather(scores, best, batch_dims=1), first, last


def _num_characters(text: tf.Tensor) -> tf.Tensor:
    return tf.strings.length(text, unit="UTF8_CHAR")
