"""The inputs that signatures are called with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.export.base_functions import INPUTS

Inputs = dict[str, np.ndarray]


def spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` indices below `count`, evenly spread, 0 among them."""
    wanted = min(count, wanted)
    return [i * count // wanted for i in range(wanted)]


def text_array(texts: Sequence[str]) -> np.ndarray:
    """`[B]` texts as UTF-8 in an array of objects, as sessions take them."""
    return np.array([text.encode() for text in texts], object)


def text_inputs(texts: Sequence[str]) -> Inputs:
    """The inputs of a task's signature on one text column."""
    return {"text": text_array(texts)}


def mixed_inputs(texts: Sequence[str], names: Sequence[str]) -> Inputs:
    """The inputs of `mixed_text`: a text and the name of a task for each row."""
    return {
        "text": text_array(texts),
        "text_pair": text_array([""] * len(texts)),
        "task": text_array(names),
    }


def token_inputs(preprocessor: Any, texts: Sequence[str], seq_length: int) -> Inputs:
    """The inputs of a signature on tokens, padded to the longest row.

    Args:
        preprocessor: A loaded preprocessor SavedModel.
        texts: B texts.
        seq_length: Longest row in tokens.
    """
    count = len(texts)
    windows = preprocessor.windows(
        {
            "text": tf.constant(list(texts)),
            "text_pair": tf.fill([count], ""),
            "has_pair": tf.fill([count], False),
            "is_question": tf.fill([count], False),
            "seq_lengths": tf.fill([count], seq_length),
        }
    )
    return {name: windows[name].numpy() for name in INPUTS}


def take_rows(tokens: Inputs, rows: Sequence[int]) -> Inputs:
    """Some rows of tokens, without the padding that they do not need."""
    longest = int(tokens["input_mask"][rows].sum(axis=1).max())
    return {name: value[rows, :longest] for name, value in tokens.items()}
