"""Which adapters can become SavedModels: what exports and the model card ask."""

from adapters_tf.errors import UserError
from adapters_tf.layers.adapter_config import AdapterConfig
from adapters_tf.models.adapter import Adapter

# Methods whose tensors leave the base as it is.
EXPORTED_METHODS = ("adapters", "adapters_only", "layer_norm", "head")
# The place in this list is what exports store: add at the end, never change.
EXPORTED_ACTIVATIONS = (
    "gelu_tanh",
    "gelu",
    "relu",
    "silu",
    "tanh",
    "sigmoid",
    "elu",
    "leaky_relu",
    "relu6",
    "selu",
    "softplus",
    "mish",
    "linear",
)
_INSTEAD = (
    "adapters-tf-predict, adapters-tf-evaluate and model.predict compute it, and "
    "Keras's model.export writes it as one model with its base. For an adapter "
    "SavedModel train one anew with"
)


def check_exportable(adapter: Adapter) -> None:
    """Refuse what the exported functions do not compute.

    Args:
        adapter: An adapter directory's content; its base is not looked at.

    Raises:
        UserError: if the method trains the base itself, the head has a hidden layer,
            the adapters are parallel, read a LayerNorm, are deeper than one bottleneck
            or have a LayerNorm inside, or the task does not name its text columns and
            every class.
    """
    _check_task(adapter)
    if adapter.tuning.method not in EXPORTED_METHODS:
        raise UserError(
            "An adapter SavedModel leaves its base as it is, so the tuning method must "
            f"be one of {', '.join(EXPORTED_METHODS)}. Received: tuning="
            f"{adapter.tuning.method}, which changes the base; export such a model "
            "whole, with Keras's model.export."
        )
    if adapter.head.get("hidden_layer"):
        raise UserError(
            "Exported heads are one linear layer. Received: a head with "
            f"hidden_layer=True. {_INSTEAD} hidden_layer=False."
        )
    config = adapter.adapter
    if config is None:
        return
    plain = AdapterConfig()
    for field in ("parallel", "reads_layer_norm", "depth", "layer_norm"):
        value, wanted = getattr(config, field), getattr(plain, field)
        if value != wanted:
            raise UserError(
                "Exported adapters are serial, with one bottleneck layer and no "
                "LayerNorm before or inside. Received: "
                f"{field}={value}. {_INSTEAD} {field}={wanted}."
            )
    exported_activation(config.activation)


def exported_activation(name: str) -> str:
    """The name under which exports know an activation.

    Raises:
        UserError: if they do not know it.
    """
    name = "silu" if name == "swish" else name
    if name not in EXPORTED_ACTIVATIONS:
        raise UserError(
            "An exported adapter's activation must be one of "
            f"{', '.join(EXPORTED_ACTIVATIONS)}. Received: {name!r}"
        )
    return name


def _check_task(adapter: Adapter) -> None:
    count = adapter.head.get("num_classes", 0)
    labels = list(adapter.task.get("labels", ()))
    if len(labels) != count or not all(isinstance(label, str) for label in labels):
        raise UserError(
            "An exported adapter's task has a label, a text, for each class of a "
            f"classifier and none otherwise. Received: a head of {count} classes and "
            f"labels={labels}; save the adapter with its task, "
            "model.get_adapter(task=task.to_dict(), ...)."
        )
    columns = list(adapter.task.get("text_columns", ()))
    if not columns:
        raise UserError(
            "An exported adapter's task has one or more text columns. Received: "
            f"text_columns={columns}; save the adapter with its task, "
            "model.get_adapter(task=task.to_dict(), ...)."
        )
