"""Keeps keras-hub's SentencePiece tokenizers usable inside graphs.

In TF.Text 2.20 the state of such a tokenizer belongs to a kernel that TensorFlow keeps
in its cache. All tokenizers of one vocabulary share it, the first that is deleted takes
it away from the others, and so does all that clears that cache:
`keras.utils.set_random_seed`, `keras.utils.clear_session`, `tf.random.set_seed`.
"""

from typing import Any

import keras_hub

_kept: list[Any] = []


def keep_sentence_piece(tokenizer: Any) -> None:
    """Never delete the state of this tokenizer; with another one, do nothing."""
    _kept.append(_state(tokenizer))


def restore_sentence_piece(tokenizer: Any) -> None:
    """Make the state anew where it is lost; with another tokenizer, do nothing."""
    state = _state(tokenizer)
    if state is None:
        return
    import tensorflow as tf  # without it there is no state

    try:
        state.vocab_size()
    except tf.errors.NotFoundError:
        tokenizer.set_proto(tokenizer.proto)
        keep_sentence_piece(tokenizer)


def _state(tokenizer: Any) -> Any:
    """The private hook: TF.Text's tokenizer, which keras-hub uses in graphs."""
    if not isinstance(tokenizer, keras_hub.tokenizers.SentencePieceTokenizer):
        return None
    return getattr(tokenizer, "_sentence_piece", None)
