"""AdapterHub's prediction heads and ours, both ways."""

import dataclasses
from typing import Any

import numpy as np

from adapters_tf.convert.adapterhub_config import about
from adapters_tf.convert.files import field, rate
from adapters_tf.data.conll import OUTSIDE, is_tag
from adapters_tf.errors import UserError
from adapters_tf.tasks.kinds import kind_named

HEAD_CONFIG_FILE = "head_config.json"
HEAD_LAYERS = ("logits/", "head_hidden/")
BIAS = "logits/bias"
# AdapterHub's type of head -> our kind. A regression has a head of type classification.
# A kind of task -> the type of its head in AdapterHub. There, a regression is a
# classification with one label.
_HUB_HEADS = {
    "classification": "classification",
    "regression": "classification",
    "multi_label": "multilabel_classification",
    "question_answering": "question_answering",
    "token_classification": "tagging",
}
_KINDS = {hub: kind for kind, hub in _HUB_HEADS.items() if kind != "regression"}


@dataclasses.dataclass(frozen=True)
class Head:
    """A linear layer, optionally with a tanh layer before it.

    Attributes:
        kind: As `Adapter.kind`.
        options: As `Adapter.head`.
        labels: Names of the classes or tags; empty for other kinds.
        tensors: `logits/kernel` `[d, outputs]` and `logits/bias` `[outputs]`, float32;
            with `hidden_layer` in the options also `head_hidden/kernel` `[d, d]` and
            `head_hidden/bias` `[d]`.
    """

    kind: str
    options: dict[str, Any]
    labels: tuple[str, ...]
    tensors: dict[str, np.ndarray]


def read_hub_head(
    config: dict[str, Any],
    tensors: dict[str, np.ndarray],
    hidden_dim: int,
    dropout: float,
) -> Head:
    """Read a head of AdapterHub.

    Args:
        config: The whole `head_config.json`.
        tensors: All tensors of the head's file.
        hidden_dim: Hidden size of the base.
        dropout: The base's dropout, which is the head's default.

    Raises:
        UserError: This library has no such head, or a tensor is missing,
            unknown or of another shape.
    """
    static_prefix: str | None = None
    if config.get("config") is None:
        inner, static_prefix = read_static_head(config)
    else:
        inner = field(config, "config", dict, HEAD_CONFIG_FILE)
    head_type = inner.get("head_type")
    kind = _KINDS.get(head_type) if isinstance(head_type, str) else None
    if kind is None:
        raise UserError(
            f"The head's type must be one of {', '.join(_KINDS)}. Received: "
            f"head_type={head_type!r}"
        )
    layers = inner.get("layers")
    most = 2 if kind_named(kind).one_vector else 1
    if layers not in range(1, most + 1) or (
        layers == 2 and inner.get("activation_function") != "tanh"
    ):
        raise UserError(
            "The head must be one linear layer, or for texts two with tanh between. "
            f"Received: head_type={head_type}, layers={layers!r}, "
            f"activation_function={inner.get('activation_function')!r}"
        )
    count = field(inner, "num_labels", int, "head's config")
    if kind == "question_answering" and count != 2:
        raise UserError(
            "The head for questions must have two outputs, start and end. Received: "
            f"num_labels={count}"
        )
    if static_prefix is None:
        name = field(config, "name", str, HEAD_CONFIG_FILE)
        prefixes = _prefixes(name, layers == 2)
    else:
        prefixes = {"logits": static_prefix}
    shapes: dict[str, tuple[int, ...]] = {
        f"{prefixes['logits']}weight": (count, hidden_dim)
    }
    if inner.get("bias", True):
        shapes[f"{prefixes['logits']}bias"] = (count,)
    if layers == 2:
        shapes[f"{prefixes['head_hidden']}weight"] = (hidden_dim, hidden_dim)
        shapes[f"{prefixes['head_hidden']}bias"] = (hidden_dim,)
    check_exactly(tensors, shapes, "head's")
    values = {BIAS: np.zeros(count, np.float32)}
    for ours, prefix in prefixes.items():
        values[f"{ours}/kernel"] = np.ascontiguousarray(tensors[f"{prefix}weight"].T)
        if f"{prefix}bias" in tensors:
            values[f"{ours}/bias"] = tensors[f"{prefix}bias"]
    if kind == "question_answering":
        return Head(kind, {}, (), values)
    if inner.get("dropout_prob") is not None:
        dropout = rate(inner, "dropout_prob", dropout)
    options: dict[str, Any] = {"dropout": dropout}
    if kind_named(kind).one_vector:
        options["head_input"] = "pooled" if inner.get("use_pooler") else "cls"
    if layers == 2:
        options["hidden_layer"] = True
    if kind == "classification" and count == 1:
        return Head("regression", options, (), values)
    labels = _labels(inner.get("label2id"), count)
    if kind == "token_classification":
        _check_tags(labels, inner.get("label2id"))
    return Head(kind, {"num_classes": count, **options}, labels, values)


def _prefixes(name: str, hidden_layer: bool) -> dict[str, str]:
    """Our layers -> prefixes in the library's sequence, which begins with dropout."""
    if not hidden_layer:
        return {"logits": f"heads.{name}.1."}
    # Dropout, dense, tanh, dropout, dense.
    return {"head_hidden": f"heads.{name}.1.", "logits": f"heads.{name}.4."}


def check_exactly(
    tensors: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]], whose: str
) -> None:
    """Refuse tensors that are not exactly these.

    Raises:
        UserError: A tensor is missing, unknown or misshapen; the text names all.
    """
    problems = []
    missing, unknown = (
        sorted(set(shapes) - set(tensors)),
        sorted(set(tensors) - set(shapes)),
    )
    if missing:
        problems.append(f"missing: {', '.join(missing)}")
    if unknown:
        problems.append(f"not known: {', '.join(unknown)}")
    for name in sorted(set(shapes) & set(tensors)):
        value = tensors[name]
        if value.shape != shapes[name] or value.dtype != np.float32:
            problems.append(
                f"{name} is {value.dtype} {value.shape} and should be float32 "
                f"{shapes[name]}"
            )
    if problems:
        raise UserError(
            f"The {whose} tensors must be exactly those of its configuration. "
            f"Received: {'; '.join(problems)}"
        )


def _labels(label2id: Any, count: int) -> tuple[str, ...]:
    if label2id is None:
        return tuple(f"LABEL_{i}" for i in range(count))
    numbers = list(label2id.values()) if isinstance(label2id, dict) else []
    if sorted(map(str, numbers)) != sorted(map(str, range(count))):
        raise UserError(
            f"label2id must give each of the {count} classes one name. Received: "
            f"{label2id!r}"
        )
    return tuple(sorted(label2id, key=lambda label: int(label2id[label])))


def _check_tags(labels: tuple[str, ...], label2id: Any) -> None:
    types = {label[2:] for label in labels if label != OUTSIDE}
    begun = {f"B-{name}" for name in types}
    if types and all(map(is_tag, labels)) and {OUTSIDE, *begun} <= set(labels):
        return
    raise UserError(
        "The labels of a tagging head must be O, and B-NAME and I-NAME for each type "
        "of entity: tags are scored and told as entities here, so others, such as "
        f"parts of speech, have no place. Received: label2id={label2id!r}. Where a "
        f"head was saved without names, write them into {HEAD_CONFIG_FILE}"
    )


def write_hub_head(
    name: str, head: Head, hidden_dim: int, model_name: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The `head_config.json` and the tensors of a head of ours.

    Raises:
        UserError: The head reads the mean of the tokens, as none of AdapterHub does.
    """
    count = head.tensors[BIAS].shape[0]
    labels = head.labels or tuple(f"LABEL_{i}" for i in range(count))
    inner: dict[str, Any] = {
        "head_type": _HUB_HEADS[head.kind],
        "num_labels": count,
        "layers": 2 if head.options.get("hidden_layer") else 1,
        "activation_function": "tanh",  # of the layer before, where there is one
        "label2id": {label: i for i, label in enumerate(labels)},
        "dropout_prob": head.options.get("dropout", 0.0),
    }
    if kind_named(head.kind).one_vector:
        if head.options["head_input"] == "mean":
            raise UserError(
                "AdapterHub's heads read the first token's vector. Received: a head "
                "with head_input='mean'; train one with cls or pooled"
            )
        pooled = head.options["head_input"] == "pooled"
        inner |= {"use_pooler": pooled, "bias": True}
    tensors = {}
    prefixes = _prefixes(name, bool(head.options.get("hidden_layer")))
    for ours, prefix in prefixes.items():
        kernel = head.tensors[f"{ours}/kernel"]
        tensors[f"{prefix}weight"] = np.ascontiguousarray(kernel.T)
        tensors[f"{prefix}bias"] = head.tensors[f"{ours}/bias"]
    return {"config": inner, **about(name, hidden_dim, model_name)}, tensors


# Model class -> the flexible head that computes the same, and its layer's name, from
# `STATIC_TO_FLEX_HEAD_MAP` in the library's `head_utils.py`.
_CLASSES: dict[str, tuple[dict[str, Any], str]] = {
    "BertForSequenceClassification": (
        {"head_type": "classification", "use_pooler": True},
        "classifier.",
    ),
    "BertForTokenClassification": ({"head_type": "tagging"}, "classifier."),
    "BertForQuestionAnswering": ({"head_type": "question_answering"}, "qa_outputs."),
}


def read_static_head(config: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Read the head of one of transformers' model classes, which has no configuration.

    Args:
        config: A whole `head_config.json` whose `config` is null.

    Returns:
        The configuration of the flexible head that computes the same, and the prefix
        of its tensors' names.

    Raises:
        UserError: The class is not known.
    """
    model_class = config.get("model_class")
    if not isinstance(model_class, str) or model_class not in _CLASSES:
        raise UserError(
            "The head must be a flexible head of the library adapters, which has a "
            f"configuration, or that of {', '.join(_CLASSES)}. Received: config=None "
            f"of model_class={model_class!r}"
        )
    fields, prefix = _CLASSES[model_class]
    label2id = config.get("label2id")
    # As in the library: a regression has one label without a name.
    count = len(label2id) if isinstance(label2id, dict) else 2
    return {
        **fields,
        "layers": 1,
        "num_labels": config.get("num_labels") or count,
        "label2id": label2id,
    }, prefix
