"""BERT and adapter-bert in NumPy, from the variables of a TF1 checkpoint.

After google-research/bert `modeling.py` and google-research/adapter-bert
`modeling.py` lines 321-360, 943-946, 962-965.
"""

import math

import numpy as np

SIZES = {
    "vocab_size": 24,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 12,
    "type_vocab_size": 2,
}


def shapes(config, adapter_size=None, classes=None):
    """Name -> shape of a checkpoint's variables."""
    d, wide = config["hidden_size"], config["intermediate_size"]

    def dense(name, rows, columns):
        return {f"{name}/kernel": (rows, columns), f"{name}/bias": (columns,)}

    def norm(name):
        return {f"{name}/LayerNorm/{part}": (d,) for part in ("gamma", "beta")}

    names = {
        "bert/embeddings/word_embeddings": (config["vocab_size"], d),
        "bert/embeddings/position_embeddings": (config["max_position_embeddings"], d),
        "bert/embeddings/token_type_embeddings": (config["type_vocab_size"], d),
        **norm("bert/embeddings"),
        **dense("bert/pooler/dense", d, d),
    }
    for i in range(config["num_hidden_layers"]):
        layer = f"bert/encoder/layer_{i}"
        for part in ("query", "key", "value"):
            names |= dense(f"{layer}/attention/self/{part}", d, d)
        names |= dense(f"{layer}/attention/output/dense", d, d)
        names |= dense(f"{layer}/intermediate/dense", d, wide)
        names |= dense(f"{layer}/output/dense", wide, d)
        for place in (f"{layer}/attention/output", f"{layer}/output"):
            names |= norm(place)
            if adapter_size:
                m = adapter_size
                names[f"{place}/adapters/weights1"] = (d, m)
                names[f"{place}/adapters/biases1"] = (1, m)
                names[f"{place}/adapters/weights2"] = (m, d)
                names[f"{place}/adapters/biases2"] = (1, d)
    if classes:
        names |= {"output_weights": (classes, d), "output_bias": (classes,)}
    return names


def random_variables(config, seed=0, **kwargs):
    random = np.random.default_rng(seed)
    return {
        name: (random.normal(0, 0.3, shape) + name.endswith("gamma")).astype("float32")
        for name, shape in shapes(config, **kwargs).items()
    }


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def bert(variables, config, token_ids, segment_ids, mask):
    """`sequence_output` and `pooled_output`, with adapters where there are some."""
    w = {name: value.astype("float64") for name, value in variables.items()}
    heads = config["num_attention_heads"]
    size = config["hidden_size"] // heads

    def dense(name, x):
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    def norm(name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
        return x * w[f"{name}/LayerNorm/gamma"] + w[f"{name}/LayerNorm/beta"]

    def adapter(name, x):
        name = f"{name}/adapters"
        if f"{name}/weights1" not in w:
            return x
        hidden = gelu_tanh(x @ w[f"{name}/weights1"] + w[f"{name}/biases1"])
        return x + hidden @ w[f"{name}/weights2"] + w[f"{name}/biases2"]

    def split(x):
        return x.reshape(*x.shape[:2], heads, size).transpose(0, 2, 1, 3)

    x = w["bert/embeddings/word_embeddings"][token_ids]
    x = x + w["bert/embeddings/token_type_embeddings"][segment_ids]
    x = x + w["bert/embeddings/position_embeddings"][None, : x.shape[1]]
    x = norm("bert/embeddings", x)
    for i in range(config["num_hidden_layers"]):
        layer = f"bert/encoder/layer_{i}"
        q, k, v = (
            split(dense(f"{layer}/attention/self/{part}", x))
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(size)
        scores = scores + (1 - mask[:, None, None, :]) * -10000.0
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        y = scores / scores.sum(-1, keepdims=True) @ v
        y = y.transpose(0, 2, 1, 3).reshape(x.shape)
        place = f"{layer}/attention/output"
        y = adapter(place, dense(f"{place}/dense", y))
        x = norm(place, x + y)
        y = gelu_tanh(dense(f"{layer}/intermediate/dense", x))
        place = f"{layer}/output"
        y = adapter(place, dense(f"{place}/dense", y))
        x = norm(place, x + y)
    return x, np.tanh(dense("bert/pooler/dense", x[:, 0]))
