"""Check that a model trains what its tuning method says, on the base it was made on."""

from typing import Any

from adapters_tf.errors import UserError
from adapters_tf.models.fingerprint import changed_variables
from adapters_tf.models.trainable_set import trainable_set

_SHOWN = 3


def check_trainable_set(model: Any) -> None:
    """Reject a model whose trainable variables were changed by hand.

    Args:
        model: An `AdapterModel`.

    Raises:
        UserError: if variables were frozen or unfrozen, or layers have LoRA or are
            quantized; names them.
    """
    check_layers(model)
    _check_variables(model)


def check_layers(model: Any) -> None:
    """Reject a model whose layers were changed by hand.

    Args:
        model: An `AdapterModel`.

    Raises:
        UserError: if a layer has LoRA or is quantized; names it.
    """
    for layer in model._flatten_layers():
        if getattr(layer, "lora_enabled", False):
            change = "enable_lora"
        elif getattr(layer, "quantization_mode", None):
            change = f"quantize({layer.quantization_mode!r})"
        else:
            continue
        raise UserError(
            f"A model trains what tuning={model.tuning.method!r} says, on the base as "
            f"it was loaded. Received: one whose layer {layer.path} was changed by "
            f"{change}. Make the model anew to train or save it"
        )


def check_base_weights(model: Any) -> None:
    """Reject a model whose base was changed by hand since it was loaded.

    Variables that the task trains may have any value. This reads all others: 0.4 s for
    BERT-base.

    Args:
        model: An `AdapterModel`. Nothing is known of a base without a fingerprint.

    Raises:
        UserError: if other weights were assigned to the base; names variables.
    """
    backbone = model.backbone
    trained = {id(v) for v in model.trainable_variables}
    kept = [v for v in backbone.base_variables() if id(v) not in trained]
    changed = changed_variables(kept, backbone.base_digests or {})
    if changed:
        raise UserError(
            "An adapter belongs to one base, with the weights that it was loaded with. "
            "Received: a model whose base was given other weights afterwards: "
            f"{len(changed)} of its variables, such as {', '.join(changed[:_SHOWN])}. "
            "Give it those again; or save this base as a preset of its own, with "
            "save_to_preset of model.backbone.to_plain() and of the tokenizer, make a "
            "model with from_preset of it, and save that one's adapter after its "
            "set_weights(model.get_weights())"
        )


def _check_variables(model: Any) -> None:
    wanted = {v.path: v for v in trainable_set(model, model.tuning)}
    real = {v.path: v for v in model.trainable_variables}
    frozen, added = sorted(set(wanted) - set(real)), sorted(set(real) - set(wanted))
    if frozen or added:
        parts = [
            f"{len(paths)} {what}, such as {', '.join(paths[:_SHOWN])}"
            for what, paths in (("frozen", frozen), ("unfrozen", added))
            if paths
        ]
        raise UserError(
            f"A model trains what tuning={model.tuning.method!r} says; give another "
            "tuning where it is made, and leave `trainable` of its layers alone. "
            f"Received: variables changed by hand: {'; '.join(parts)}"
        )
