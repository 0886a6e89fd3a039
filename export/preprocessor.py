"""The preprocessor SavedModel: strings in, TF Hub's encoder inputs out."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from adapters_tf.export.base_functions import INPUTS
from adapters_tf.export.sample_texts import SAMPLE_PAIRS, SAMPLE_TEXTS
from adapters_tf.export.self_check import Case, check_in_new_process
from adapters_tf.models.presets import preprocess_texts

# Where a base SavedModel has its preprocessor.
PREPROCESSOR_DIR = "preprocessor"


def save_preprocessor(preprocessor: Any, directory: Path) -> None:
    """Write and check the SavedModel of a preprocessor.

    It has TF Hub's interface for text preprocessing: `__call__(texts)`,
    `tokenize(texts)` to a ragged `[batch, tokens]` int32 and
    `bert_pack_inputs([tokens, ...], seq_length=)` of one or two segments.

    Args:
        preprocessor: From `load_preprocessor`; its `sequence_length` is the
            length that `__call__` and `bert_pack_inputs` pack to by default.
        directory: Where to.

    Raises:
        UserError: if the written one gives other tokens than `preprocessor`.
    """
    tokenizer = preprocessor.tokenizer
    default_length = preprocessor.sequence_length
    strings = tf.TensorSpec([None], tf.string)
    ragged = tf.RaggedTensorSpec([None, None], tf.int32)

    def tokenize(texts: Any) -> tf.RaggedTensor:
        return tf.cast(tokenizer(texts), tf.int32)

    def pack(segments: list[Any], seq_length: Any = default_length) -> dict[str, Any]:
        special = 1 + len(segments)
        trimmer = tf_text.RoundRobinTrimmer(seq_length - special)
        token_ids, type_ids = tf_text.combine_segments(
            trimmer.trim(segments),
            start_of_sequence_id=tokenizer.cls_token_id,
            end_of_segment_id=tokenizer.sep_token_id,
        )
        token_ids, mask = tf_text.pad_model_inputs(
            token_ids, seq_length, pad_value=tokenizer.pad_token_id
        )
        type_ids, _ = tf_text.pad_model_inputs(type_ids, seq_length)
        packed = {
            "input_word_ids": token_ids,
            "input_mask": mask,
            "input_type_ids": type_ids,
        }
        return {name: tf.cast(value, tf.int32) for name, value in packed.items()}

    root = tf.train.Checkpoint()
    root.tokenize = tf.function(tokenize, input_signature=[strings])
    root.bert_pack_inputs = tf.function(pack)
    for count in (1, 2):
        for length in (default_length, tf.TensorSpec([], tf.int32)):
            root.bert_pack_inputs.get_concrete_function(
                [ragged] * count, seq_length=length
            )
    root.__call__ = tf.function(
        lambda texts: pack([tokenize(texts)]), input_signature=[strings]
    )
    root.pack_pairs = tf.function(
        lambda inputs: pack([tokenize(inputs["text"]), tokenize(inputs["text_pair"])]),
        input_signature=[{"text": strings, "text_pair": strings}],
    )
    tf.saved_model.save(root, str(directory))
    check_in_new_process(directory, _cases(preprocessor))


def _cases(preprocessor: Any) -> list[Case]:
    texts, pairs = np.array(SAMPLE_TEXTS), np.array(SAMPLE_PAIRS)

    def hub(tokens: dict[str, Any]) -> dict[str, np.ndarray]:
        return {name: np.asarray(tokens[o], np.int32) for name, o in INPUTS.items()}

    single = preprocess_texts(preprocessor, tf.constant(texts))
    double = preprocess_texts(preprocessor, (tf.constant(texts), tf.constant(pairs)))
    return [
        Case("", texts, hub(single)),
        Case("pack_pairs", {"text": texts, "text_pair": pairs}, hub(double)),
    ]
