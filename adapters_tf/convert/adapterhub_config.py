"""AdapterHub's `adapter_config.json` and our `AdapterConfig`, both ways."""

import dataclasses
import math
from collections.abc import Collection
from typing import Any, cast

from adapters_tf.adapters import AdapterConfig
from adapters_tf.convert.files import field, rate
from adapters_tf.errors import UserError

CONFIG_FILE = "adapter_config.json"
# The version that our files are compatible with. Without a version, the library takes
# `gelu` for the tanh form.
VERSION = "adapters.1.3.0"
# Activations of transformers -> ours. Its leakyrelu has another slope than Keras's, and
# the others have no counterpart.
_ACTIVATIONS = {
    "relu": "relu",
    "swish": "silu",
    "silu": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu6": "relu6",
    "mish": "mish",
    "linear": "linear",
}
# Fields whose values are fixed by what our adapters compute.
_FIXED = {
    "architecture": (None,),
    "original_ln_after": (True,),
    "ln_before": (False,),
    "ln_after": (False,),
    "is_parallel": (False,),
    "use_gating": (False,),
    "cross_adapter": (False, None),
    "phm_layer": (False,),
    "stochastic_depth": (0.0, None),
}
# Fields that the code below reads, and fields without meaning at the fixed values.
_READ = {
    "mh_adapter",
    "output_adapter",
    "reduction_factor",
    "non_linearity",
    "original_ln_before",
    "residual_before_ln",
    "scaling",
    "dropout",
    "leave_out",
    "inv_adapter",
    "invertible_adapter",
}
_WITHOUT_MEANING = {
    "adapter_residual_before_ln",
    "init_weights",
    "init_weights_seed",
    "inv_adapter_reduction_factor",
    "phm_dim",
    "factorized_phm_W",
    "shared_W_phm",
    "shared_phm_rule",
    "factorized_phm_rule",
    "phm_c_init",
    "phm_init_range",
    "learn_phm",
    "hypercomplex_nonlinearity",
    "phm_rank",
    "phm_bias",
}
_KNOWN = {*_FIXED} | _READ | _WITHOUT_MEANING


@dataclasses.dataclass(frozen=True)
class HubAdapter:
    """The contents of an `adapter_config.json`.

    Attributes:
        name: The adapter's name, which is part of its tensors' names.
        adapter: Our configuration of the adapters.
        scaling: Factor of the adapters' outputs; part of our up-projections.
        dropout: Dropout on the adapters' outputs in training, which ours do not have.
        base: The name of the base, if the file has it.
    """

    name: str
    adapter: AdapterConfig
    scaling: float = 1.0
    dropout: float = 0.0
    base: str | None = None


def read_hub_config(
    config: dict[str, Any], hidden_dim: int, num_layers: int
) -> HubAdapter:
    """Read an `adapter_config.json` for a base of this size.

    Args:
        config: The whole file.
        hidden_dim: Hidden size of the base.
        num_layers: Number of its blocks.

    Raises:
        UserError: The file is not of a BERT of that size, or its adapters compute
            something that ours do not.
    """
    name = field(config, "name", str, CONFIG_FILE)
    for key, own in (("model_type", "bert"), ("hidden_size", hidden_dim)):
        if config.get(key, own) != own:
            raise UserError(
                f"The adapter's {key} must be the base's, {own!r}. Received: "
                f"{key}={config[key]!r}"
            )
    inner = dict(field(config, "config", dict, CONFIG_FILE))
    if "version" not in config:
        inner = modern_fields(inner, _KNOWN)
    _check_fixed(inner, config.get("type"))
    activation = inner.get("non_linearity")
    if not isinstance(activation, str) or activation.lower() not in _ACTIVATIONS:
        raise UserError(
            f"non_linearity must be one of {', '.join(_ACTIVATIONS)}. Received: "
            f"non_linearity={activation!r}"
        )
    sublayers = [
        ours
        for ours, theirs in (
            ("attention", "mh_adapter"),
            ("feed_forward", "output_adapter"),
        )
        if field(inner, theirs, bool, "config")
    ]
    left_out = _left_out(inner)
    layers = tuple(i for i in range(num_layers) if i not in left_out)
    if not sublayers or not layers or not set(left_out) <= set(range(num_layers)):
        raise UserError(
            "The adapter must be in at least one place of the base, whose blocks are 0 "
            f"to {num_layers - 1}. Received: mh_adapter={inner['mh_adapter']}, "
            f"output_adapter={inner['output_adapter']}, leave_out={left_out}"
        )
    base = config.get("model_name")
    return HubAdapter(
        name,
        AdapterConfig(
            bottleneck_dim=_bottleneck_dim(inner, hidden_dim, layers),
            activation=_ACTIVATIONS[activation.lower()],
            reads_layer_norm=_reads_layer_norm(inner),
            sublayers=tuple(sublayers),
            layers=layers if left_out else None,
        ),
        _scaling(inner),
        rate(inner, "dropout", 0.0),
        base if isinstance(base, str) else None,
    )


def _check_fixed(inner: dict[str, Any], adapter_type: Any) -> None:
    unknown = sorted(set(inner) - _KNOWN)
    if unknown:
        raise UserError(
            "The adapter's configuration must have the fields of a bottleneck adapter. "
            f"Received: {', '.join(f'{k}={inner[k]!r}' for k in unknown)}"
        )
    for name, values in _FIXED.items():
        if inner.get(name, values[0]) not in values:
            raise UserError(
                "Adapters of this library are two dense layers in series with a "
                f"sub-layer, so {name} must be {values[0]}. Received: "
                f"{name}={inner[name]!r}"
            )
    # Task adapters of the first versions name an invertible one and have none.
    inverse = inner.get("inv_adapter") or inner.get("invertible_adapter")
    if inverse and adapter_type != "text_task":
        raise UserError(
            "Adapters of this library are inside the blocks, so inv_adapter, which "
            f"changes the embeddings, must be null. Received: inv_adapter={inverse!r}"
        )


def _reads_layer_norm(inner: dict[str, Any]) -> bool:
    before = inner.get("original_ln_before", False)
    residual = inner.get("residual_before_ln", True)
    if before is True and residual is True:
        return True
    # Without a LayerNorm before the adapter, both residuals are the same.
    if before is False and residual in (True, False):
        return False
    raise UserError(
        "residual_before_ln must be true where original_ln_before is: the residual "
        "around the adapter is then the sub-layer's output. Received: "
        f"original_ln_before={before!r}, residual_before_ln={residual!r}"
    )


def _left_out(inner: dict[str, Any]) -> list[int]:
    value = inner.get("leave_out")
    left_out = [] if value is None else value
    if not isinstance(left_out, list) or any(type(i) is not int for i in left_out):
        raise UserError(
            "leave_out must be a list of the numbers of blocks. Received: "
            f"leave_out={value!r}"
        )
    return left_out


def _scaling(inner: dict[str, Any]) -> float:
    value = inner.get("scaling", 1.0)
    # Larger factors, infinity and NaN would leave no finite up-projections.
    if type(value) not in (int, float) or not abs(value) < 1e30:
        raise UserError(
            "scaling must be a number; a learned one has no place in this library's "
            f"adapters. Received: scaling={value!r}"
        )
    return float(value)


def _bottleneck_dim(
    inner: dict[str, Any], hidden_dim: int, layers: tuple[int, ...]
) -> int:
    given = inner.get("reduction_factor")
    factors: list[Any] = [given] * len(layers)
    if isinstance(given, dict):
        factors = [given.get(str(i), given.get("default")) for i in layers]
    if not all(_is_factor(f, hidden_dim) for f in factors):
        raise UserError(
            "reduction_factor must be a positive number, or give one for each block, "
            f"and make a finite size. Received: reduction_factor={given!r}"
        )
    sizes = {max(1, int(hidden_dim // factor)) for factor in factors}
    if len(sizes) > 1:
        raise UserError(
            "Adapters of one task have one size in this library. Received: "
            f"reduction_factor={given!r}, which makes sizes of {sorted(sizes)}"
        )
    return sizes.pop()


def _is_factor(value: Any, hidden_dim: int) -> bool:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        return False
    # Division by the smallest floats overflows.
    return hidden_dim // value < math.inf


def write_hub_config(
    name: str,
    adapter: AdapterConfig,
    hidden_dim: int,
    num_layers: int,
    model_name: str,
) -> dict[str, Any]:
    """The `adapter_config.json` of our adapters.

    Args:
        name: The adapter's name in AdapterHub.
        adapter: The adapters' configuration, with their `bottleneck_dim`.
        hidden_dim: Hidden size of the base.
        num_layers: Number of its blocks.
        model_name: The base's name in the file.

    Raises:
        UserError: The format cannot express these adapters.
    """
    for attribute in ("layer_norm", "depth", "parallel"):
        default = getattr(AdapterConfig(), attribute)
        if getattr(adapter, attribute) != default:
            raise UserError(
                f"AdapterHub's adapters are serial, with one bottleneck layer and no "
                f"LayerNorm of their own that computes as ours. Received: {attribute}="
                f"{getattr(adapter, attribute)}"
            )
    # The first name in the table; aliases come later.
    ours = "silu" if adapter.activation == "swish" else adapter.activation
    theirs = next((k for k, v in _ACTIVATIONS.items() if v == ours), None)
    if theirs is None:
        raise UserError(
            "AdapterHub has no activation that computes this. Received: activation="
            f"{adapter.activation!r}; it has {', '.join(_ACTIVATIONS)}"
        )
    layers = range(num_layers) if adapter.layers is None else adapter.layers
    return {
        "config": {
            "mh_adapter": "attention" in adapter.sublayers,
            "output_adapter": "feed_forward" in adapter.sublayers,
            "reduction_factor": reduction_factor(
                hidden_dim, cast(int, adapter.bottleneck_dim)
            ),
            "non_linearity": theirs,
            "original_ln_before": adapter.reads_layer_norm,
            "original_ln_after": True,
            "residual_before_ln": True,
            "adapter_residual_before_ln": False,
            "ln_before": False,
            "ln_after": False,
            "init_weights": "bert",
            "is_parallel": False,
            "scaling": 1.0,
            "use_gating": False,
            "dropout": 0.0,
            "leave_out": [i for i in range(num_layers) if i not in layers],
            "inv_adapter": None,
            "inv_adapter_reduction_factor": None,
            "cross_adapter": False,
            "phm_layer": False,
        },
        **about(name, hidden_dim, model_name),
    }


def about(name: str, hidden_dim: int, model_name: str) -> dict[str, Any]:
    """The fields that configurations of adapters and of heads share."""
    return {
        "hidden_size": hidden_dim,
        "model_class": "BertAdapterModel",
        "model_name": model_name,
        "model_type": "bert",
        "name": name,
        "version": VERSION,
    }


def reduction_factor(hidden_dim: int, bottleneck_dim: int) -> float:
    """The factor from which the library computes this size.

    The library computes `int(hidden_dim // factor)`. With `hidden_dim / size` as the
    factor, rounding makes many sizes one too small.
    """
    factor = hidden_dim / bottleneck_dim
    if int(hidden_dim // factor) == bottleneck_dim:
        return factor
    return hidden_dim / (bottleneck_dim + 0.5)


_LEGACY_ACTIVATIONS = {"gelu": "gelu_new", "gelu_orig": "gelu"}


def modern_fields(fields: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Translate the `config` of the library's first versions, which has no `version`.

    Then, `gelu` was the tanh form. The very first files have names in capitals
    (`MH_Adapter`, `LN_before`) and two fields of adapter fusion.

    Args:
        fields: The `config`.
        known: The field names of today's library.

    Raises:
        UserError: Two fields have the same name today.
    """
    modern: dict[str, Any] = {}
    for name, value in fields.items():
        # Some of today's names have capitals too.
        today = name if name in known else name.lower()
        if today in modern:
            raise UserError(
                "Fields of a configuration without a version are read without regard "
                f"to capitals, so each must be there once. Received: {today} twice"
            )
        modern[today] = value
    # Fields of adapter fusion, without effect on a single adapter.
    modern.pop("attention_type", None)
    if modern.get("new_attention_norm") is False:
        del modern["new_attention_norm"]
    activation = modern.get("non_linearity")
    if isinstance(activation, str):
        modern["non_linearity"] = _LEGACY_ACTIVATIONS.get(activation, activation)
    return modern
