"""Write the preprocessor SavedModel: from strings to TF Hub's encoder inputs."""

import itertools
from pathlib import Path
from typing import Any

import keras_hub
import numpy as np
import tensorflow as tf

from adapters_tf.export.answer_spans import best_spans
from adapters_tf.export.base_functions import INPUTS
from adapters_tf.export.packing import pack_rows, pack_segments
from adapters_tf.export.ragged_checks import without_ragged_checks
from adapters_tf.export.rows import SEPARATOR
from adapters_tf.export.sample_texts import SAMPLE_PAIRS, SAMPLE_TEXTS
from adapters_tf.export.saving import graph_function, traced_for_saving
from adapters_tf.export.self_check import Case, check_export
from adapters_tf.export.text_tokens import tokenize, without_growing_table
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.special_tokens import special_tokens

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
