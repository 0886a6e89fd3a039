"""Texts of many kinds with small tokenizers; a small base, tasks and servable."""

import dataclasses
import functools
import os
import pathlib
import string
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.export.adapter import save_adapter_model
from adapters_tf.export.base import export_base, save_base
from adapters_tf.export.base_functions import INPUTS
from adapters_tf.export.packing import pack_rows
from adapters_tf.export.self_check import check_in_this_process, exports_checked_by
from adapters_tf.export.versions import create_servable
from adapters_tf.models.adapter_file import load_adapter, save_adapter
from adapters_tf.models.presets import load_backbone
from adapters_tf.tasks.build import build_model

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


@pytest.fixture(scope="session")
def pack_texts():
    """Function: an encoder's inputs of texts or of pairs, by `pack_rows`."""

    def pack(tokenizer, text, text_pair, seq_lengths, has_pair=None):
        if has_pair is None:
            has_pair = tf.fill(tf.shape(text), text_pair is not None)
        text_pair = text if text_pair is None else text_pair
        none = tf.zeros(tf.shape(text), tf.bool)
        return pack_rows(tokenizer, text, text_pair, has_pair, none, seq_lengths).inputs

    return pack


@pytest.fixture(scope="session")
def question_windows():
    """Function: the windows of rows that all are questions, by `pack_rows`."""

    def windows(tokenizer, question, context, seq_lengths):
        every = tf.ones(tf.shape(question), tf.bool)
        return pack_rows(tokenizer, question, context, every, every, seq_lengths)

    return windows


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


# === Exports of a small base ===

_VOCABULARY_SIZE = 25  # of tiny_preset

# What the exported classifiers and scores of these tests are made of. Together
# they have all kinds, heads, tuning methods, both sublayers alone, a single
# layer, bottlenecks of 1, 4 and 9, and several lengths and activations.
_TASKS = {
    "topics": {
        "kind": "classification",
        "labels": ["news", "sport", "späße"],
        "adapter": AdapterConfig(4),
        "head": {"num_classes": 3, "head_input": "cls"},
    },
    "entails": {
        "kind": "classification",
        "labels": ["yes", "no"],
        "columns": ["premise", "hypothesis"],
        "adapter": AdapterConfig(1, activation="tanh", sublayers=("attention",)),
        "head": {"num_classes": 2, "head_input": "pooled"},
        "seq_length": 12,
    },
    "likeness": {
        "kind": "regression",
        "columns": ["first", "second"],
        "adapter": AdapterConfig(9, activation="mish", layers=(1,)),
        "head": {"head_input": "mean"},
        "seq_length": 24,
    },
    "questions": {
        "kind": "question_answering",
        "columns": ["question", "context"],
        "adapter": AdapterConfig(9, activation="silu"),
    },
    "norms": {
        "kind": "classification",
        "labels": list("abcde"),
        "tuning": "layer_norm",
        "head": {"num_classes": 5, "head_input": "mean"},
    },
    "fixed": {
        "kind": "regression",
        "tuning": "head",
        "head": {"head_input": "pooled"},
    },
    "answers": {
        "kind": "question_answering",
        "columns": ["question", "context"],
        "adapter": AdapterConfig(
            4, activation="softplus", layers=(0,), sublayers=("feed_forward",)
        ),
        "seq_length": 12,
    },
}


@dataclasses.dataclass(frozen=True)
class SavedTask:
    """A task with random weights, none of them near zero.

    Attributes:
        build: Function that gives the Keras model.
        adapter_dir: Its adapter directory.
        directory: Its adapter SavedModel.
        task: The task, as it is saved.
    """

    build: Callable[[], Any]
    adapter_dir: str
    directory: str
    task: dict[str, Any]

    @functools.cached_property
    def model(self):
        """The Keras model."""
        return self.build()

    @property
    def has_pair(self):
        return len(self.task["text_columns"]) == 2


@pytest.fixture(scope="session")
def save_task(tiny_preset, tmp_path_factory, shared_artefact):
    """Function: a new task with random weights, saved and exported, unchecked.

    With `shared=True` the files are those of all processes of the run.
    """
    root = tmp_path_factory.mktemp("tasks")

    def save(
        name,
        kind,
        labels=(),
        columns=("text",),
        seed=1,
        folder=None,
        shared=False,
        **options,
    ):
        seq_length = options.pop("seq_length", 16)
        task = {"name": name, "kind": kind, "labels": list(labels)}
        task |= {"text_columns": list(columns), "metrics": ["accuracy"]}
        task |= options.pop("task", {})

        @functools.cache
        def build():
            model = build_model(kind, tiny_preset, seq_length=seq_length, **options)
            random = np.random.default_rng(seed)
            for variable in model.trainable_variables:
                value = random.normal(0, 0.3, variable.shape)
                variable.assign(value + variable.path.endswith("gamma"))
            return model

        def parts(path):
            name_ = folder or name
            return path / f"{name_}_adapter", path / f"{name_}_saved_model"

        def write(path):
            model, (adapter_dir, directory) = build(), parts(path)
            adapter = model.get_adapter(
                task=task, preset=tiny_preset, seq_length=seq_length
            )
            save_adapter(adapter, adapter_dir)
            save_adapter_model(load_adapter(adapter_dir), model, directory)

        if shared:
            path = shared_artefact(f"task_{folder or name}", write)
        else:
            path = root
            write(path)
        adapter_dir, directory = map(str, parts(path))
        return SavedTask(build, adapter_dir, directory, task)

    return save


@pytest.fixture(scope="session")
def saved_task(save_task):
    """Function: the `SavedTask` of this name, see `_TASKS`; made once."""

    @functools.cache
    def get(name):
        seed = list(_TASKS).index(name)
        return save_task(name, seed=seed, shared=True, **_TASKS[name])

    return get


@pytest.fixture(scope="session")
def saved_tasks(saved_task):
    """Name -> `SavedTask`: see `_TASKS`."""
    return {name: saved_task(name) for name in _TASKS}


@pytest.fixture(scope="session")
def many(save_task):
    """A task with more classes and units than all others."""
    config = AdapterConfig(13, activation="elu")
    labels = [f"class {i}" for i in range(11)]
    head = {"num_classes": 11, "head_input": "pooled"}
    return save_task(
        "many",
        "classification",
        labels,
        seed=21,
        shared=True,
        adapter=config,
        head=head,
    )


@pytest.fixture(scope="session")
def base_dir(tiny_preset, shared_artefact):
    """The base SavedModel of `tiny_preset`, checked as every export."""

    def export(path):
        with _check_here():
            export_base(tiny_preset, path / "base", seq_length=16)

    return str(shared_artefact("base_saved_model", export) / "base")


@pytest.fixture(scope="session")
def base(base_dir):
    """The loaded base SavedModel."""
    return tf.saved_model.load(base_dir)


@pytest.fixture(scope="session")
def other_base_dir(other_preset, shared_artefact):
    """A base SavedModel of the same shape, without a preprocessor."""

    def save(path):
        save_base(load_backbone(other_preset), path)

    return str(shared_artefact("other_base_saved_model", save))


# Tasks of `servable`; the others are for adding.
SERVED = ("topics", "entails", "likeness", "questions", "norms", "fixed")


@pytest.fixture(scope="session")
def servable(base_dir, saved_tasks, shared_artefact):
    """A servable with one version of `SERVED`, checked as every export."""

    def create(path):
        tasks = {name: saved_tasks[name].adapter_dir for name in SERVED}
        with _check_here():
            create_servable(base_dir, tasks, path / "servable")

    return shared_artefact("servable", create) / "servable"


@pytest.fixture(scope="session")
def live_servable(base_dir, saved_tasks, shared_artefact):
    """A live servable with two fixed tasks and no live one, checked as every export."""

    def create(path):
        tasks = {n: saved_tasks[n].adapter_dir for n in ("topics", "questions")}
        with _check_here():
            create_servable(base_dir, tasks, path / "S", live=True, embedding="mean")

    return shared_artefact("live_servable", create) / "S"


@pytest.fixture(scope="session")
def token_inputs():
    """Function: n rows of tokens of many lengths, as TF Hub's inputs."""

    def make(n=8, length=10, seed=0):
        random = np.random.default_rng(seed)
        mask = np.arange(length) < random.integers(1, length + 1, (n, 1))
        ids = random.integers(4, _VOCABULARY_SIZE, (n, length))
        pair = np.arange(length) >= random.integers(1, length + 1, (n, 1))
        arrays = {
            "input_word_ids": ids * mask,
            "input_mask": mask,
            "input_type_ids": pair & mask,
        }
        return {k: v.astype(np.int32) for k, v in arrays.items()}

    return make


def _as_keras(inputs):
    """TF Hub's inputs by keras-hub's names."""
    return {ours: inputs[hub] for hub, ours in INPUTS.items()}


@pytest.fixture(scope="session")
def as_keras():
    """Function: TF Hub's inputs by keras-hub's names."""
    return _as_keras


def _check_here():
    """Exports check themselves in this process: a new one takes seconds."""
    return exports_checked_by(check_in_this_process)


@pytest.fixture
def check_here():
    """Exports check themselves in this process: a new one takes seconds."""
    with _check_here():
        yield


@pytest.fixture(scope="module")
def checks_here():
    """`check_here`, for a whole module."""
    with _check_here():
        yield
