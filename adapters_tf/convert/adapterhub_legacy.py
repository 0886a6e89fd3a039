"""What the first versions of AdapterHub's library wrote, in the words of today's."""

from collections.abc import Collection
from typing import Any

from adapters_tf.errors import UserError

_ACTIVATIONS = {"gelu": "gelu_new", "gelu_orig": "gelu"}


def modern_fields(fields: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The `config` of an `adapter_config.json` without a `version`.

    `gelu` was the tanh form. The very first ones have some names in capitals
    (`MH_Adapter`, `LN_before`), and two fields of the fusion of several adapters.

    Args:
        fields: The `config`.
        known: The names of today.

    Raises:
        UserError: if two fields are one today.
    """
    modern: dict[str, Any] = {}
    for name, value in fields.items():
        # Not all of them: there are capitals in names of today.
        today = name if name in known else name.lower()
        if today in modern:
            raise UserError(
                "Fields of a configuration without a version are read without regard "
                f"to capitals, so each must be there once. Received: {today} twice"
            )
        modern[today] = value
    # How several adapters are weighed, which is said for a single one too.
    modern.pop("attention_type", None)
    if modern.get("new_attention_norm") is False:
        del modern["new_attention_norm"]
    activation = modern.get("non_linearity")
    if isinstance(activation, str):
        modern["non_linearity"] = _ACTIVATIONS.get(activation, activation)
    return modern
