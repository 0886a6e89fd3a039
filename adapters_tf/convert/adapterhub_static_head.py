"""Heads of transformers' own model classes, in files of AdapterHub's library."""

from typing import Any

from adapters_tf.errors import UserError

# Class -> the flexible head that computes the same, and what its layer is called. After
# `STATIC_TO_FLEX_HEAD_MAP` of the library's `head_utils.py`.
_CLASSES: dict[str, tuple[dict[str, Any], str]] = {
    "BertForSequenceClassification": (
        {"head_type": "classification", "use_pooler": True},
        "classifier.",
    ),
    "BertForTokenClassification": ({"head_type": "tagging"}, "classifier."),
    "BertForQuestionAnswering": ({"head_type": "question_answering"}, "qa_outputs."),
}


def read_static_head(config: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A head without a configuration, which its model's class has built in.

    Args:
        config: A whole `head_config.json` whose `config` is null.

    Returns:
        The configuration of the flexible head that computes the same, and the prefix
        of its tensors' names.

    Raises:
        UserError: if the class is not known.
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
    # As the library: a score has one label and no names.
    count = len(label2id) if isinstance(label2id, dict) else 2
    return {
        **fields,
        "layers": 1,
        "num_labels": config.get("num_labels") or count,
        "label2id": label2id,
    }, prefix
