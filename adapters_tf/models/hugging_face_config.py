"""What keras-hub does not read in a Hugging Face configuration, and takes for given."""

from typing import Any

from adapters_tf.errors import UserError

# transformers' names for the tanh form of GELU, and for the exact one. `gelu` means
# another one to each library.
TANH_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_tanh")
_EXACT_GELU = ("gelu", "gelu_python")

# transformers' type of model -> the epsilon of LayerNorm in keras-hub's class.
# DistilBERT is not here: transformers has the same built in.
LAYER_NORM_EPS = {
    "albert": 1e-12,
    "bert": 1e-12,
    "electra": 1e-12,
    "roberta": 1e-5,
    "xlm-roberta": 1e-5,
}
# What a field is in transformers where it is not there.
_DEFAULTS = {"layer_norm_eps": 1e-12, "position_embedding_type": "absolute"}


def check_hugging_face_config(config: dict[str, Any], preset: str) -> None:
    """Refuse a model that keras-hub would load as something else.

    Args:
        config: Its `config.json`.
        preset: Where it is from.

    Raises:
        UserError: if its activation is no form of GELU, its positions are relative, or
            its LayerNorms have another epsilon than keras-hub's.
    """
    # DistilBERT's name for it is "activation".
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
