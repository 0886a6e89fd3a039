"""The sizes of a BERT, as its configuration file gives them."""

from collections.abc import Callable
from typing import Any

from adapters_tf.convert.json_file import field
from adapters_tf.errors import UserError


def read_sizes(config: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """The arguments of `keras_hub.models.BertBackbone`.

    Args:
        config: Hugging Face's `config.json`, or the `bert_config.json` of Google's
            code, whose fields have the same names.
        say: Takes a line on what is not kept.

    Raises:
        UserError: if a field is missing or of another type, or the sizes do not fit.
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
    sizes["num_segments"] = int(config.get("type_vocab_size", 2))
    if sizes["hidden_dim"] % sizes["num_heads"]:
        raise UserError(
            "hidden_size must be a multiple of num_attention_heads. Received: "
            f"{sizes['hidden_dim']} and {sizes['num_heads']}"
        )
    dropout = float(config.get("hidden_dropout_prob", 0.1))
    attention = float(config.get("attention_probs_dropout_prob", dropout))
    if attention != dropout:
        say(
            f"Dropout in training is {dropout} everywhere, hidden_dropout_prob; this "
            f"library has no other one for attention_probs_dropout_prob={attention}"
        )
    return sizes | {"dropout": dropout}
