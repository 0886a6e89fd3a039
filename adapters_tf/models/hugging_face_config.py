"""Check the fields of a Hugging Face configuration that keras-hub ignores."""

from typing import Any

from adapters_tf.errors import UserError

# transformers' names for the tanh form of GELU, and for the exact form. The name `gelu`
# means a different form in each library.
TANH_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_tanh")
_EXACT_GELU = ("gelu", "gelu_python")

# transformers' model type -> LayerNorm epsilon in keras-hub's class. DistilBERT is
# absent: both libraries fix the same value.
LAYER_NORM_EPS = {
    "albert": 1e-12,
    "bert": 1e-12,
    "electra": 1e-12,
    "roberta": 1e-5,
    "xlm-roberta": 1e-5,
}
# transformers' defaults for absent fields.
_DEFAULTS = {"layer_norm_eps": 1e-12, "position_embedding_type": "absolute"}


def check_hugging_face_config(config: dict[str, Any], preset: str) -> None:
    """Reject a model that keras-hub would load with a different computation.

    Args:
        config: The content of the model's `config.json`.
        preset: Where the model is from.

    Raises:
        UserError: if its activation is not a form of GELU, its positions are relative,
            or its LayerNorm epsilon differs from keras-hub's.
    """
    # DistilBERT calls this field "activation".
    activation = config.get("hidden_act", config.get("activation"))
    if activation is not None and activation not in TANH_GELU + _EXACT_GELU:
        raise UserError(
            "hidden_act must be a form of GELU, which is all that the bases compute "
            f"here: one of {', '.join(_EXACT_GELU + TANH_GELU)}. Received: "
            f"hidden_act={activation!r} in {preset!r}"
        )
    model_type = config.get("model_type")
    if model_type not in LAYER_NORM_EPS:
        return
    expected = {**_DEFAULTS, "layer_norm_eps": LAYER_NORM_EPS[model_type]}
    for name, value in expected.items():
        received = config.get(name, _DEFAULTS[name])
        if received != value:
            absent = "" if name in config else ", transformers' default,"
            raise UserError(
                f"The base's {name} must be {value!r}, which keras-hub's {model_type} "
                f"has built in. Received: {name}={received!r}{absent} in {preset!r}"
            )
