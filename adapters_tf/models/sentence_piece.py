"""Keep keras-hub's SentencePiece tokenizers usable inside graphs.

In TF.Text 2.20, the state of such a tokenizer belongs to a kernel in TensorFlow's
cache, shared by all tokenizers of one vocabulary. Deleting one tokenizer deletes the
state for all. So does anything that clears the cache: `keras.utils.set_random_seed`,
`keras.utils.clear_session`, `tf.random.set_seed`.
"""

from typing import Any

import keras_hub

_kept: list[Any] = []


def keep_sentence_piece(tokenizer: Any) -> None:
    """Keep a SentencePiece tokenizer's state forever; ignore other tokenizers."""
    _kept.append(_state(tokenizer))


def restore_sentence_piece(tokenizer: Any) -> None:
    """Recreate a SentencePiece tokenizer's lost state; ignore other tokenizers."""
    state = _state(tokenizer)
    if state is None:
        return
    import tensorflow as tf  # Without TensorFlow there is no state.

    try:
        state.vocab_size()
    except tf.errors.NotFoundError:
        tokenizer.set_proto(tokenizer.proto)
        keep_sentence_piece(tokenizer)


def _state(tokenizer: Any) -> Any:
    """Return TF.Text's tokenizer, which keras-hub uses in graphs (private API)."""
    if not isinstance(tokenizer, keras_hub.tokenizers.SentencePieceTokenizer):
        return None
    return getattr(tokenizer, "_sentence_piece", None)
