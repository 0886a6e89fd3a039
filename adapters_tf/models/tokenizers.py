"""keras-hub's tokenizers: their special tokens, and the state of SentencePiece."""

import functools
from typing import Any, NamedTuple

import keras_hub
from keras_hub.src.utils import preset_utils


class SpecialTokens(NamedTuple):
    """Ids of a row's special tokens and padding: `start text separators text end`.

    Attributes:
        start: Before the first text, such as `[CLS]`.
        separators: Between two texts: `[SEP]`, or RoBERTa's `</s></s>`.
        end: After the last text.
        pad: After the row.
    """

    start: int
    separators: tuple[int, ...]
    end: int
    pad: int

    def count(self, num_texts: int) -> int:
        """Return the number of special tokens in a row of `num_texts` texts."""
        return 2 + len(self.separators) * (num_texts - 1)


def special_tokens(tokenizer: Any) -> SpecialTokens:
    """Return the tokens that keras-hub's preprocessor puts around texts.

    Args:
        tokenizer: A keras-hub tokenizer of an encoder in `BACKBONES`.
    """
    preprocessor = _preprocessor_class(type(tokenizer).backbone_cls)(tokenizer)
    preprocessor.build(None)
    packer = preprocessor.packer
    (start,), (end,) = packer.start_value, packer.end_value
    return SpecialTokens(start, tuple(packer.sep_value), end, packer.pad_value)


@functools.cache
def _preprocessor_class(backbone: type) -> Any:
    return preset_utils.find_subclass(
        "", keras_hub.models.TextClassifierPreprocessor, backbone
    )


# In TF.Text 2.20, the state of a SentencePiece tokenizer belongs to a kernel in
# TensorFlow's cache, shared by all tokenizers of one vocabulary. Deleting one tokenizer
# deletes the state for all. So does anything that clears the cache:
# `keras.utils.set_random_seed`, `keras.utils.clear_session`, `tf.random.set_seed`.
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
