"""The sizes of a BERT, as its configuration file gives them."""

from collections.abc import Callable
from typing import Any

from adapters_tf.convert.json_file import field, rate
from adapters_tf.errors import UserError


def read_sizes(config: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """The arguments of `keras_hub.models.BertBackbone`.

    Args:
        config: Hugging Face's `config.json`, or the `bert_config.json` of Google's
            code, whose fields have the same names.
        say: Takes a line on what is not kept.

    Raises:
        UserError: if a field is missing or of another type, the sizes do not fit, or
            there is one segment only.
    """
    where = "The configuration of a BERT"
    names = {
        "vocabulary_size": "vocab_size",
        "num_layers": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "hidden_dim": "hidden_size",
        "intermediate_dim": "intermediate_size",
        "max_sequence_length": "max_position_embeddings",
    }
    sizes = {ours: field(config, name, int, where) for ours, name in names.items()}
    sizes["num_segments"] = 2
    if "type_vocab_size" in config:
        sizes["num_segments"] = field(config, "type_vocab_size", int, where)
    if sizes["num_segments"] == 1:
        raise UserError(
            "type_vocab_size must be 2 or more: the second text of a pair is segment "
            "1, of which this base has no embedding. Received: type_vocab_size=1"
        )
    if sizes["hidden_dim"] % sizes["num_heads"]:
        raise UserError(
            "hidden_size must be a multiple of num_attention_heads. Received: "
            f"{sizes['hidden_dim']} and {sizes['num_heads']}"
        )
    dropout = rate(config, "hidden_dropout_prob", 0.1)
    attention = rate(config, "attention_probs_dropout_prob", dropout)
    if attention != dropout:
        say(
            f"Dropout in training is {dropout} everywhere, hidden_dropout_prob; this "
            f"library has no other one for attention_probs_dropout_prob={attention}"
        )
    return sizes | {"dropout": dropout}
