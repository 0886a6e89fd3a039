"""Check whether an adapter can be exported as a SavedModel."""

from adapters_tf.errors import UserError
from adapters_tf.models.adapter import Adapter

# Methods that do not change the base's weights, apart from LayerNorms.
EXPORTED_METHODS = ("adapters", "adapters_only", "layer_norm", "head")


def check_exportable(adapter: Adapter) -> None:
    """Reject an adapter that the exported functions cannot compute.

    Args:
        adapter: The content of an adapter directory; its base is not needed.

    Raises:
        UserError: if the tuning method trains the base itself, exports do not support
            the adapters' configuration, or the task does not name its text columns and
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
    if adapter.adapter is not None:
        adapter.adapter.check_exportable()


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
