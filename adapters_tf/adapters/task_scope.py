"""Run encoder blocks with a task's tensors instead of their own variables."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any, Protocol

import keras
from keras import ops

from adapters_tf.adapters.base import Site


class TaskFunctions(Protocol):
    """A task's replacement for adapters and LayerNorm parameters."""

    def adapt(self, block: str, site: Site) -> Any:
        """Return the tensor that replaces `site.outputs` in a block.

        Args:
            block: The block's path, such as `"transformer_layer_0"`.
            site: The values that the block has computed.
        """

    def scale_and_shift(self, path: str, normalized: Any) -> Any:
        """Apply the task's own gamma and beta as a LayerNorm's last step.

        Args:
            path: The LayerNorm's path, such as `"embeddings_layer_norm"`.
            normalized: `[batch, length, d]`, with zero mean and unit variance.
        """


_functions: contextvars.ContextVar[TaskFunctions | None] = contextvars.ContextVar(
    "adapters_tf_task_functions", default=None
)


@contextlib.contextmanager
def task_scope(functions: TaskFunctions) -> Iterator[None]:
    """Context in which encoder blocks without adapters compute with `functions`.

    This lets one base serve many tasks whose tensors are arguments: adapters of any
    size, or different ones for each row of a batch.

    Args:
        functions: The computation at each site and LayerNorm.
    """
    token = _functions.set(functions)
    try:
        yield
    finally:
        _functions.reset(token)


def task_functions() -> TaskFunctions | None:
    """Return the functions of the innermost `task_scope`, or `None`."""
    return _functions.get()


@keras.saving.register_keras_serializable(package="adapters_tf")
class LayerNormalization(keras.layers.LayerNormalization):
    """Keras's LayerNorm with gamma and beta that a `task_scope` can replace."""

    def call(self, inputs: Any) -> Any:
        functions = task_functions()
        if functions is None:
            return super().call(inputs)
        normalized = ops.layer_normalization(
            inputs, axis=self.axis, epsilon=self.epsilon
        )
        outputs = functions.scale_and_shift(self.path, normalized)
        return ops.cast(outputs, self.compute_dtype)
