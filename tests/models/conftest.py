"""A tiny random BERT, its inputs, and directories that hold it."""

import json
import os
import random
import subprocess
import sys

import keras_hub
import numpy as np
import pytest
import safetensors.numpy

from adapters_tf.adapters import AdapterConfig
from adapters_tf.models.backbones import BertAdapterBackbone

ADAPTER = AdapterConfig(4)
LENGTH = 12
WORDS = (
    "good fine bad poor the film was a plot so very it cafe naive er in on at".split()
)
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", "##s"]
VOCABULARY += [f"##{i}" for i in range(40 - len(VOCABULARY))]
SIZES = {
    "vocabulary_size": 40,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
    "max_sequence_length": LENGTH,
}


def _randomize(layer, seed=0, scale=0.3, keep=()):
    random = np.random.default_rng(seed)
    for variable in layer.weights:
        value = random.normal(0, scale, variable.shape)
        if variable.path.endswith("gamma"):
            value = value + 1
        if not any(part in variable.path for part in keep):
            variable.assign(value)


@pytest.fixture(scope="session")
def sizes():
    """Arguments of the tiny backbone."""
    return SIZES


@pytest.fixture(scope="session")
def randomize():
    """Function: give all variables of a layer random values."""
    return _randomize


@pytest.fixture(scope="session")
def plain():
    """A plain keras-hub BERT with random weights; not to be changed."""
    backbone = keras_hub.models.BertBackbone(**SIZES)
    _randomize(backbone)
    return backbone


@pytest.fixture(scope="session")
def adapted(plain):
    """Function: a backbone with the weights of `plain`, and adapters of 4 units."""

    def make(adapter=ADAPTER, **kwargs):
        return BertAdapterBackbone.from_backbone(plain, adapter, **kwargs)

    return make


@pytest.fixture(scope="session")
def inputs():
    """Function: n rows of random tokens, of random lengths, as model inputs."""

    def make(n=8, seed=0, length=LENGTH):
        random = np.random.default_rng(seed)
        mask = np.arange(length) < random.integers(3, length + 1, (n, 1))
        return {
            "token_ids": (random.integers(5, 40, (n, length)) * mask).astype("int32"),
            "segment_ids": (random.integers(0, 2, (n, length)) * mask).astype("int32"),
            "padding_mask": mask.astype("int32"),
        }

    return make


@pytest.fixture(scope="session")
def tokenizer():
    return keras_hub.models.BertTokenizer(VOCABULARY, lowercase=True)


@pytest.fixture
def preprocessor(tokenizer):
    return keras_hub.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=LENGTH
    )


@pytest.fixture(scope="session")
def saved_preset(plain, tokenizer, tmp_path_factory):
    """`plain` and its tokenizer in keras-hub's own format."""
    path = str(tmp_path_factory.mktemp("saved_preset"))
    plain.save_to_preset(path)
    tokenizer.save_to_preset(path)
    return path


def _hugging_face_tensors(backbone, prefix, gamma, beta):
    w = {v.path: v.numpy() for v in backbone.weights}
    d = SIZES["hidden_dim"]
    tensors = {
        "embeddings.word_embeddings.weight": w["token_embedding/embeddings"],
        "embeddings.position_embeddings.weight": w["position_embedding/embeddings"],
        "embeddings.token_type_embeddings.weight": w["segment_embedding/embeddings"],
        f"embeddings.LayerNorm.{gamma}": w["embeddings_layer_norm/gamma"],
        f"embeddings.LayerNorm.{beta}": w["embeddings_layer_norm/beta"],
        "pooler.dense.weight": w["pooled_dense/kernel"].T,
        "pooler.dense.bias": w["pooled_dense/bias"],
    }
    for i in range(SIZES["num_layers"]):
        ours, theirs = f"transformer_layer_{i}", f"encoder.layer.{i}"
        attention = f"{ours}/self_attention_layer"
        for name in ("query", "key", "value"):
            kernel, bias = (
                w[f"{attention}/{name}/kernel"],
                w[f"{attention}/{name}/bias"],
            )
            tensors[f"{theirs}.attention.self.{name}.weight"] = kernel.reshape(d, d).T
            tensors[f"{theirs}.attention.self.{name}.bias"] = bias.reshape(d)
        kernel = w[f"{attention}/attention_output/kernel"]
        tensors[f"{theirs}.attention.output.dense.weight"] = kernel.reshape(d, d).T
        bias = w[f"{attention}/attention_output/bias"]
        tensors[f"{theirs}.attention.output.dense.bias"] = bias
        for our_name, their_name in (
            ("feedforward_intermediate_dense", "intermediate.dense"),
            ("feedforward_output_dense", "output.dense"),
        ):
            kernel = w[f"{ours}/{our_name}/kernel"]
            tensors[f"{theirs}.{their_name}.weight"] = kernel.T
            tensors[f"{theirs}.{their_name}.bias"] = w[f"{ours}/{our_name}/bias"]
        for our_name, their_name in (
            ("self_attention_layer_norm", "attention.output.LayerNorm"),
            ("feedforward_layer_norm", "output.LayerNorm"),
        ):
            tensors[f"{theirs}.{their_name}.{gamma}"] = w[f"{ours}/{our_name}/gamma"]
            tensors[f"{theirs}.{their_name}.{beta}"] = w[f"{ours}/{our_name}/beta"]
    return {f"{prefix}{k}": np.ascontiguousarray(v) for k, v in tensors.items()}


@pytest.fixture
def hugging_face_directory(plain, tmp_path):
    """Function: `plain` written by hand in Hugging Face's format."""

    def write(name="hf", prefix="bert.", gamma="weight", beta="bias", **tokenizer):
        path = tmp_path / name
        path.mkdir()
        config = {
            "model_type": "bert",
            "architectures": ["BertModel"],
            "vocab_size": SIZES["vocabulary_size"],
            "num_hidden_layers": SIZES["num_layers"],
            "num_attention_heads": SIZES["num_heads"],
            "hidden_size": SIZES["hidden_dim"],
            "intermediate_size": SIZES["intermediate_dim"],
            "max_position_embeddings": SIZES["max_sequence_length"],
            "type_vocab_size": 2,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
        }
        (path / "config.json").write_text(json.dumps(config))
        tokenizer = {"do_lower_case": True, **tokenizer}
        (path / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        (path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
        tensors = _hugging_face_tensors(plain, prefix, gamma, beta)
        safetensors.numpy.save_file(tensors, path / "model.safetensors")
        return str(path)

    return write


@pytest.fixture
def run_python():
    """Function: run code in a new process; `sys.argv[1:]` are the arguments."""

    def run(code, *arguments):
        subprocess.run(
            [sys.executable, "-P", "-c", code, *map(str, arguments)],
            check=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    return run


@pytest.fixture(autouse=True)
def _fixed_seed():
    """Keras draws the seeds of its initializers and dropout from Python's generator.

    `keras.utils.set_random_seed` also seeds TensorFlow, which then throws all compiled
    functions away: each test would compile those of the shared models anew.
    """
    random.seed(0)
    np.random.seed(0)
