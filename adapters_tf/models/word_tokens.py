"""Convert words to tokens, and put tags on the first token of each word."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras_hub
import numpy as np

from adapters_tf.errors import UserError
from adapters_tf.models.features import Features
from adapters_tf.models.presets import preprocess_texts

# The label of a token without a tag.
IGNORED = -1
# ASCII's white space divides the words of a text. Other white space, such as U+00A0,
# belongs to its word: keras-hub's WordPiece does not cut there either.
WORD_SEPARATORS = " \t\n\v\f\r"
_MULTIPLE = 8


def check_word_pieces(tokenizer: Any, what: str) -> None:
    """Reject a tokenizer that does not tokenise each piece of a text by itself.

    Question windows and word tags need each token's place in the text, which follows
    from its piece. WordPiece itself cuts a text into such pieces; SentencePiece and
    byte-level BPE join a word with the space before it.

    Args:
        tokenizer: A keras-hub tokenizer.
        what: The feature that needs word pieces, for the message.

    Raises:
        UserError: if the tokenizer is unsuitable; names bases with a suitable one.
    """
    if not isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        raise UserError(
            f"{what} needs a base with a WordPiece tokenizer: BERT, DistilBERT or "
            f"ELECTRA. Received: a {type(tokenizer).__name__}"
        )


@dataclasses.dataclass(frozen=True)
class WordFeatures:
    """Sentences as rows of tokens: `[CLS]`, the words' tokens, `[SEP]`.

    Attributes:
        features: The N rows; `labels` are `[N, length]` int32: the tag's index at the
            first token of each word, `IGNORED` elsewhere (Devlin et al. 2019, section
            5.3), or `None` without tags. `length` is the longest possible row,
            rounded up to a multiple of 8.
        firsts: For each row, the position of each word's first token; -1 for words
            without tokens and words after the cut.
        num_unread: Number of words without a first token.
    """

    features: Features
    firsts: list[np.ndarray]
    num_unread: int

    def at_words(self, row: int, outputs: np.ndarray) -> np.ndarray:
        """Select `[tokens, ...]` outputs at words' first tokens, if present."""
        places = self.firsts[row]
        return outputs[places[places >= 0]]


def word_features(
    sentences: Sequence[Sequence[str]],
    preprocessor: Any,
    tags: Sequence[np.ndarray] | None = None,
) -> WordFeatures:
    """Tokenise each word by itself and cut rows that are too long.

    Args:
        sentences: The words of N sentences; none of a sentence without text.
        preprocessor: From `load_preprocessor`; provides the tokenizer, and the longest
            row as `sequence_length`.
        tags: For each sentence `[words]` indices of tags, or `None`.

    Raises:
        UserError: see `check_word_pieces`.
    """
    tokenizer, size = preprocessor.tokenizer, preprocessor.sequence_length
    check_word_pieces(tokenizer, "Token classification")
    known_words = sorted({word for words in sentences for word in words}) or [""]
    # For a list of strings, every keras-hub tokenizer returns a list of lists.
    known = dict(zip(known_words, tokenizer(known_words), strict=True))
    width = -(-size // _MULTIPLE) * _MULTIPLE
    labels = np.full((len(sentences), width), IGNORED, np.int32)
    rows, firsts, num_cut = [], [], 0
    for row, words in enumerate(sentences):
        tokens = [known[word] for word in words]
        counts = np.array([len(t) for t in tokens], int)
        places = 1 + np.cumsum(counts) - counts
        # The last position holds [SEP].
        places[(counts == 0) | (places > size - 2)] = -1
        num_cut += counts.sum() > size - 2
        ids = [token for word in tokens for token in word][: size - 2]
        rows.append([tokenizer.cls_token_id, *ids, tokenizer.sep_token_id])
        firsts.append(places)
        if tags is not None:
            labels[row, places[places >= 0]] = tags[row][places >= 0]
    reads_segments = "segment_ids" in preprocess_texts(preprocessor, np.array([""]))
    token_ids = np.concatenate([np.array(row, np.int32) for row in rows])
    features = Features(
        token_ids=token_ids,
        segment_ids=np.zeros_like(token_ids) if reads_segments else None,
        offsets=np.cumsum([0, *(len(row) for row in rows)]),
        labels=None if tags is None else labels,
        num_truncated=int(num_cut),
    )
    num_unread = sum(int((places < 0).sum()) for places in firsts)
    return WordFeatures(features, firsts, num_unread)
