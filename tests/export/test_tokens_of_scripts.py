"""Every way of tokenising gives a WordPiece base's own tokens, in every script."""

import collections
import random
import sys
import unicodedata

import keras_hub
import pytest
import tensorflow as tf

from adapters_tf.export.text_tokens import token_ids, tokenize
from adapters_tf.models.question_windows import question_windows
from adapters_tf.models.word_tokens import WORD_SEPARATORS, word_features

NUM_TEXTS = 5000  # for a cased and for an uncased base
SYMBOLS = "?.,-()[]'€+°😀،।॥、。\u200d\u00ad"
WHITE_SPACE = [c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace()]
# The others belong to the word around them, though Google's BERT cuts there.
CUT = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85"


def alphabets():
    """A few letters, marks and digits of each script that Python knows."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for character in map(chr, range(0x41, sys.maxunicode + 1)):
        kind = unicodedata.category(character)[0]
        if kind in "LMN":
            script = unicodedata.name(character, "").split(" ")[0]
            if len(found[script][kind]) < 8:
                found[script][kind].append(character)
    return [[*kinds["L"], *kinds["M"], *kinds["N"]] for kinds in found.values()]


def make_texts(scripts, seed):
    """Texts of words of one or two scripts each, with symbols between and inside."""
    draw = random.Random(seed)
    texts = []
    for number in range(NUM_TEXTS):
        letters = scripts[number % len(scripts)]
        if draw.random() < 0.2:
            letters = letters + draw.choice(scripts)
        letters = letters * 3 + draw.sample(SYMBOLS, 3) + draw.sample(WHITE_SPACE, 1)
        words = ["".join(draw.choices(letters, k=draw.randint(1, 7))) for _ in "abc"]
        texts.append(" ".join(words))
    return texts


def plain(text):
    kept = unicodedata.normalize("NFD", text.casefold())
    return [c for c in kept if unicodedata.category(c) != "Mn"]


def make_tokenizer(characters, uncased):
    """A WordPiece tokenizer that knows these characters alone."""
    known = sorted({*characters, *plain("".join(characters))})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return keras_hub.models.BertTokenizer(
        [*special, *known, *("##" + c for c in known)],
        lowercase=uncased,
        strip_accents=uncased,
    )


@pytest.mark.parametrize("uncased", [True, False])
def test_tokens_of_every_script_are_the_bases(uncased):
    scripts = alphabets()
    assert len(scripts) > 150
    texts = make_texts(scripts, seed=int(uncased))
    others = sum(any(c in t for c in WHITE_SPACE if c not in CUT) for t in texts)
    assert others > 0.1 * NUM_TEXTS
    characters = [c for letters in scripts for c in letters]
    tokenizer = make_tokenizer([*characters, *SYMBOLS, *WHITE_SPACE], uncased)
    expected = check_tokens(tokenizer, texts)
    assert sum(ids.count(1) for ids in expected) < 0.1 * sum(map(len, expected))


@pytest.mark.parametrize("uncased", [True, False])
def test_all_white_space(uncased):
    assert set(WORD_SEPARATORS) < set(CUT) < set(WHITE_SPACE)
    tokenizer = make_tokenizer(["a", "b"], uncased)
    texts = [f"a{c}b {c}a" for c in WHITE_SPACE]
    a, b = map(tokenizer.token_to_id, "ab")
    for c, ids in zip(WHITE_SPACE, check_tokens(tokenizer, texts), strict=True):
        # A word with a character that is not in the vocabulary is unknown.
        assert ids == ([a, b, a] if c in CUT else [1, 1]), ascii(c)


def check_tokens(tokenizer, texts):
    """Compare the tokens of all ways with the tokenizer's own, which it returns."""
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=512
    )
    expected = token_ids(tokenizer, tf.constant(texts)).to_list()

    def differing(found):
        return [t for t, a, b in zip(texts, expected, found, strict=True) if a != b]

    assert differing(tokenizer(texts)) == []
    windows = question_windows(["a"] * len(texts), texts, preprocessor)
    assert windows.rows.tolist() == list(range(len(texts)))
    features = windows.features
    rows = [row.tolist() for row in split(features)]
    # [CLS] a [SEP] ... [SEP]
    assert differing([row[3:-1] for row in rows]) == []

    tagged = word_features([text.split(" ") for text in texts], preprocessor)
    assert differing([row.tolist()[1:-1] for row in split(tagged.features)]) == []

    for arguments in ((True,), (False,), (False, tf.ones(len(texts), bool))):
        served = tokenize(tokenizer, tf.constant(texts), *arguments)
        ids = tf.RaggedTensor.from_row_splits(served.ids, served.splits).to_list()
        assert differing(ids) == []
    return expected


def split(features):
    offsets = features.offsets
    return [features.token_ids[a:b] for a, b in zip(offsets, offsets[1:], strict=False)]
