"""Texts of many kinds, and small tokenizers for them."""

import os
import pathlib
import string
import subprocess
import sys

import keras_hub
import numpy as np
import pytest
import tensorflow as tf

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_LETTERS = [*string.ascii_letters, *"éüßñçθжא中文本あアー한글0123456789²½"]
_VOCABULARY = [
    *_SPECIAL,
    *("the", "what", "is", "##ing", "##ed", "cafe", "café", "[", "]", "sep"),
    *(character for character in string.punctuation if character not in "[]"),
    *_LETTERS,
    *(f"##{letter}" for letter in _LETTERS),
]
_WORDS = """the what is Working stopped naïve café cafe\u0301 Straße ΘΕΣΗ Жизнь שָׁלוֹם
    नमस्ते สวัสดี 中文字 本 日本語テスト 한국어 ﬁne x² ½ Ⅷ ٣٤ 1920s 3.14 e-mail don't U.S.A.
    a_b [SEP] [MASK] ## @user #tag https://a.b/c?d=e 😀 👩\u200d👩\u200d👧 🇩🇪 ❤\ufe0f …
    — “q” ¿qué? so\u00adft ze\u200bro \u202eleft \ufeffbom \ufffd İstanbul ǅ 豈 À̖́ q̃
    \U00020000""".split()
_SPACES = [" "] * 20 + ["  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\x0b"]
_SPACES += ["", "", "\x1c", "\x85", "\x00", "\x07"]


def _random_text(random):
    words = []
    for _ in range(
        random.choice([0, 1, 2, 5, 12, 40], p=[0.06, 0.1, 0.2, 0.3, 0.3, 0.04])
    ):
        kind = random.random()
        if kind < 0.6:
            words.append(random.choice(_WORDS))
        elif kind < 0.75:
            words.append("".join(random.choice(list(string.printable), 5)))
        elif kind < 0.8:
            words.append(
                "".join(random.choice(list("abcß中é"), random.integers(60, 130)))
            )
        else:
            codes = random.integers(
                0x20, [0x300, 0x3000, 0x20000][random.integers(3)], 3
            )
            words.append("".join(chr(c) for c in codes if not 0xD800 <= c < 0xE000))
        words.append(random.choice(_SPACES))
    return "".join(words)


@pytest.fixture(scope="session")
def random_texts():
    """Function: n texts, some empty, of many scripts, with spaces of all kinds."""

    def make(n, seed=0):
        random = np.random.default_rng(seed)
        return [_random_text(random) for _ in range(n)]

    return make


@pytest.fixture(scope="session", params=["uncased", "cased"])
def text_tokenizer(request):
    """A tokenizer of single letters and a few words."""
    uncased = request.param == "uncased"
    return keras_hub.models.BertTokenizer(
        _VOCABULARY, lowercase=uncased, strip_accents=uncased
    )


@pytest.fixture(scope="session")
def text_preprocessor(text_tokenizer):
    """Function: keras-hub's preprocessor of `text_tokenizer` with this length."""

    def make(length):
        return keras_hub.models.BertTextClassifierPreprocessor(
            text_tokenizer, sequence_length=length
        )

    return make


@pytest.fixture
def data_root():
    """A folder of public data sets, which ADAPTERS_TF_TEST_DATA names."""
    folder = os.environ.get("ADAPTERS_TF_TEST_DATA")
    if not folder:
        pytest.skip("ADAPTERS_TF_TEST_DATA does not name a folder of data sets")
    return pathlib.Path(folder)


# Loads as TensorFlow Serving does, without our code and keras-hub.
_SESSION = """
import sys
import numpy as np
import tensorflow as tf
directory, path = sys.argv[1:]
core = dir(tf.raw_ops)
import tensorflow_text
feeds = dict(np.load(path, allow_pickle=True))
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], directory)
    signature = meta.signature_def["serving_default"]
    outputs = {k: v.name for k, v in signature.outputs.items()}
    feed = {v.name: feeds[k] for k, v in signature.inputs.items()}
    results = session.run(outputs, feed)
    graph = session.graph.as_graph_def()
ops = {node.op for node in graph.node}
ops |= {node.op for f in graph.library.function for node in f.node_def}
ops -= {f.signature.name for f in graph.library.function}
assert not {"adapters_tf", "keras_hub"} & set(sys.modules)
python = {op for op in ops if "PyFunc" in op}
np.savez(path, ops=sorted(ops - set(core) | python), **results)
"""
_TF_TEXT_OPS = {
    "CaseFoldUTF8",
    "FastWordpieceTokenizeWithOffsets",
    "NormalizeUTF8",
    "RegexSplitWithOffsets",
}


@pytest.fixture
def run_session(tmp_path):
    """Function: save a `tf.function`, run it in a new process in a session.

    `run(function, **feeds)` returns its outputs by name. The graph may hold ops of
    TensorFlow and the four of TF.Text that the stock server is known to link.
    """

    def run(function, **feeds):
        module = tf.Module()
        module.function = function
        tf.saved_model.save(module, str(tmp_path / "model"), signatures=function)
        path = tmp_path / "arrays.npz"
        np.savez(path, **feeds)
        subprocess.run(
            [sys.executable, "-P", "-c", _SESSION, tmp_path / "model", path],
            check=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        results = dict(np.load(path, allow_pickle=True))
        others = set(results.pop("ops").tolist())
        assert others <= _TF_TEXT_OPS
        return results

    return run
