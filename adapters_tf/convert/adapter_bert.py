"""TF1 checkpoints of adapter-bert, the paper's reference code, as adapters of ours.

Names and shapes are those of google-research/adapter-bert: `modeling.py` lines
321-360 (adapters), `run_classifier.py` (head), `optimization.py` line 72 (what is
trained).
"""

import os
import re
from collections.abc import Callable, Sequence

import numpy as np

from adapters_tf.adapters import AdapterConfig
from adapters_tf.adapters.base import SUBLAYERS
from adapters_tf.convert.bert import BertTensor, bert_tensors, check_names, load_bert
from adapters_tf.convert.directories import make_task, new_model, save_new_adapter
from adapters_tf.convert.google_bert import Tf1Checkpoint
from adapters_tf.errors import UserError
from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.backbones import hidden_activation

_PLACES = {"attention": "attention/output", "feed_forward": "output"}
_ADAPTER = re.compile(
    r"bert/encoder/layer_(\d+)/(attention/output|output)/adapters/"
    r"(weights1|biases1|weights2|biases2)"
)
# Theirs -> ours. Their biases are `[1, m]` and `[1, d]`.
_PARTS = {
    "weights1": "down_projection/kernel",
    "biases1": "down_projection/bias",
    "weights2": "up_projection/kernel",
    "biases2": "up_projection/bias",
}
_HEAD_WEIGHTS, _HEAD_BIAS = "output_weights", "output_bias"


def convert_from_adapter_bert(
    checkpoint: str | os.PathLike[str],
    preset: str,
    output_dir: str | os.PathLike[str],
    *,
    name: str | None = None,
    labels: Sequence[str] | None = None,
    text_columns: Sequence[str] | None = None,
    seq_length: int = 128,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Convert a checkpoint of adapter-bert to an adapter directory.

    Adapters, LayerNorms and the head come from the checkpoint. The rest of it is the
    base, which must equal the preset's to the bit.

    Args:
        checkpoint: A checkpoint such as `model.ckpt-10000`, or the training directory.
        preset: The BERT that was trained on; see `load_backbone`, or `"demo"`.
        output_dir: The adapter directory.
        name: The task's name; by default the checkpoint's.
        labels: Names of the classes, in the order of the task's processor in
            adapter-bert; by default their numbers.
        text_columns: Names of the task's text columns.
        seq_length: Longest input, in tokens.
        overwrite: Replace an adapter in `output_dir`.
        say: Called with a line for each decision.

    Raises:
        UserError: The checkpoint is missing or damaged, a variable is missing,
            unknown or of another shape, the base is another one, or the directory
            exists or cannot be written.
    """
    variables = Tf1Checkpoint(checkpoint)
    base = load_bert(preset)
    if base.adapter is not None or hidden_activation(base) != "gelu_tanh":
        raise UserError(
            "The base must be a BERT without adapters that computes the tanh form of "
            f"GELU, as Google's code does. Received: {preset!r}"
        )
    tensors = bert_tensors(base)
    _check_names(variables, tensors)
    adapter, values = _adapters(variables, base)
    values |= _base(variables, tensors, base, preset)
    classes = variables.shapes[_HEAD_WEIGHTS][0]
    kernel = _shaped(variables, _HEAD_WEIGHTS, (classes, base.hidden_dim))
    values["logits/kernel"] = np.ascontiguousarray(kernel.T)
    values["logits/bias"] = _shaped(variables, _HEAD_BIAS, (classes,))
    kind = "classification" if classes > 1 else "regression"
    labels = _labels(labels, classes if classes > 1 else 0)
    name = name or os.path.basename(variables.path)
    task = make_task(name, kind, labels, text_columns)
    # The reference's head reads the pooler, which is frozen (`run_classifier.py`).
    head = {"head_input": "pooled", "dropout": 0.1}
    if classes > 1:
        head["num_classes"] = classes
    save_new_adapter(
        new_model(task, preset, adapter, head, seq_length, "adapters"),
        values,
        task,
        output_dir,
        preset=preset,
        seq_length=seq_length,
        training={"converted_from": "adapter-bert", "checkpoint": variables.path},
        overwrite=overwrite,
    )
    say(f"{name}: {kind}, {classes} outputs, bottleneck {adapter.bottleneck_dim}")


def _check_names(checkpoint: Tf1Checkpoint, tensors: list[BertTensor]) -> None:
    adapters = {name for name in checkpoint.shapes if _ADAPTER.fullmatch(name)}
    if not adapters:
        adapters = {"bert/encoder/layer_0/output/adapters/weights1"}
    check_names(
        {t.google for t in tensors} | {_HEAD_WEIGHTS, _HEAD_BIAS} | adapters,
        checkpoint.shapes,
        "The checkpoint's variables must be those of adapter-bert's classifier on this "
        "base.",
    )


def _adapters(
    checkpoint: Tf1Checkpoint, base: AdapterBackbone
) -> tuple[AdapterConfig, dict[str, np.ndarray]]:
    found = [m for m in map(_ADAPTER.fullmatch, checkpoint.shapes) if m]
    layers = sorted({int(m[1]) for m in found})
    sublayers = [s for s in SUBLAYERS if _PLACES[s] in {m[2] for m in found}]
    m = checkpoint.shapes[found[0][0].rpartition("/")[0] + "/biases1"][-1]
    d = base.hidden_dim
    shapes = {"weights1": (d, m), "biases1": (1, m), "weights2": (m, d)}
    shapes["biases2"] = (1, d)
    values = {}
    for i in layers:
        for sublayer in sublayers:
            for theirs, ours in _PARTS.items():
                name = f"bert/encoder/layer_{i}/{_PLACES[sublayer]}/adapters/{theirs}"
                value = _shaped(checkpoint, name, shapes[theirs])
                path = f"transformer_layer_{i}/{sublayer}_adapter/{ours}"
                values[path] = value[0] if theirs.startswith("biases") else value
    every = layers == list(range(len(base.encoder_blocks)))
    config = AdapterConfig(
        bottleneck_dim=m,
        sublayers=tuple(sublayers),
        layers=None if every else tuple(layers),
        # The checkpoint has trained LayerNorms in all blocks.
        layer_norm_layers=None if every else tuple(range(len(base.encoder_blocks))),
    )
    return config, values


def _shaped(checkpoint: Tf1Checkpoint, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if checkpoint.shapes.get(name) != shape:
        raise UserError(
            f"The checkpoint's variable {name} must have the shape {shape}. Received: "
            f"{checkpoint.shapes.get(name, 'none of that name')}"
        )
    return checkpoint.read(name)


def _base(
    checkpoint: Tf1Checkpoint,
    tensors: list[BertTensor],
    base: AdapterBackbone,
    preset: str,
) -> dict[str, np.ndarray]:
    """The task's LayerNorms; everything else must equal the base."""
    own = {v.path: v for v in base.base_variables()}
    layer_norms = {}
    for tensor in tensors:
        value = tensor.from_google(checkpoint.read(tensor.google), tensor.google)
        if tensor.is_layer_norm:
            layer_norms[tensor.path] = value
        elif not np.array_equal(value, own[tensor.path].numpy()):
            difference = np.abs(value - own[tensor.path].numpy()).max()
            raise UserError(
                "The base must be the BERT that the checkpoint was trained on, which "
                f"it holds. Received: {preset!r}, which differs in {tensor.google} by "
                f"{difference:.3g}; convert that BERT with `adapters-tf-convert bert`"
            )
    return layer_norms


def _labels(labels: Sequence[str] | None, count: int) -> tuple[str, ...]:
    labels = tuple(labels or map(str, range(count)))
    if len(set(labels)) != count or len(labels) != count:
        raise UserError(
            f"labels must name each of the head's {count} classes once. Received: "
            f"{','.join(labels)}"
        )
    return labels
