"""Words to tokens, and tags to the first token of each word."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras_hub
import numpy as np

from adapters_tf.errors import UserError
from adapters_tf.models.features import Features
from adapters_tf.models.presets import preprocess_texts

# The label of a token that no tag is learnt or predicted for.
IGNORED = -1
_MULTIPLE = 8


def check_word_pieces(tokenizer: Any, what: str) -> None:
    """Refuse a tokenizer whose tokens of a text are not those of its pieces.

    Questions' windows and words' tags need each token's place in the text, known from
    the piece it is of. WordPiece cuts a text into such pieces itself; SentencePiece and
    byte-level BPE join a word with the space before it.

    Args:
        tokenizer: keras-hub's.
        what: What needs it, for the message.

    Raises:
        UserError: naming the bases that have such a tokenizer.
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
            5.3), or `None` without tags. `length` is the longest row that may occur,
            rounded up to a multiple of 8.
        firsts: For each row the place of each word's first token, -1 for words behind
            the row's end and words without a token.
        num_unread: How many words have none.
    """

    features: Features
    firsts: list[np.ndarray]
    num_unread: int

    def at_words(self, row: int, outputs: np.ndarray) -> np.ndarray:
        """Of `[tokens, ...]` outputs those at the first tokens of words with one."""
        places = self.firsts[row]
        return outputs[places[places >= 0]]


def word_features(
    sentences: Sequence[Sequence[str]],
    preprocessor: Any,
    tags: Sequence[np.ndarray] | None = None,
) -> WordFeatures:
    """Tokenise each word by itself, and cut what is longer than a row.

    Args:
        sentences: The words of N sentences.
        preprocessor: From `load_preprocessor`; gives the tokenizer and, by its
            `sequence_length`, the longest row.
        tags: For each sentence `[words]` indices of tags, or `None`.

    Raises:
        UserError: see `check_word_pieces`.
    """
    tokenizer, size = preprocessor.tokenizer, preprocessor.sequence_length
    check_word_pieces(tokenizer, "Token classification")
    known_words = sorted({word for words in sentences for word in words})
    # On a list of strings every keras-hub tokenizer returns a list of lists.
    known = dict(zip(known_words, tokenizer(known_words), strict=True))
    width = -(-size // _MULTIPLE) * _MULTIPLE
    labels = np.full((len(sentences), width), IGNORED, np.int32)
    rows, firsts, num_cut = [], [], 0
    for row, words in enumerate(sentences):
        tokens = [known[word] for word in words]
        counts = np.array([len(t) for t in tokens])
        places = 1 + np.cumsum(counts) - counts
        # The last place is that of [SEP].
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
