"""Run an encoder's blocks with a task's tensors instead of their own variables."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any, Protocol

import keras
from keras import ops

from adapters_tf.adapters.base import Site


class TaskFunctions(Protocol):
    """What a task computes in the place of adapters and LayerNorm parameters."""

    def adapt(self, block: str, site: Site) -> Any:
        """What a block goes on with in the place of `site.outputs`.

        Args:
            block: The block's path, such as `"transformer_layer_0"`.
            site: What the block has computed.
        """

    def scale_and_shift(self, path: str, normalized: Any) -> Any:
        """A LayerNorm's last step, with the task's own gamma and beta.

        Args:
            path: Such as `"embeddings_layer_norm"`.
            normalized: `[batch, length, d]`, of zero mean and unit variance.
        """


_functions: contextvars.ContextVar[TaskFunctions | None] = contextvars.ContextVar(
    "adapters_tf_task_functions", default=None
)


@contextlib.contextmanager
def task_scope(functions: TaskFunctions) -> Iterator[None]:
    """Within it, encoder blocks without adapters compute with `functions`.

    One base so serves many tasks, whose tensors are arguments: adapters of any size, or
    different ones for each row of a batch.

    Args:
        functions: What to compute at each site and LayerNorm.
    """
    token = _functions.set(functions)
    try:
        yield
    finally:
        _functions.reset(token)


def task_functions() -> TaskFunctions | None:
    """The functions of the innermost `task_scope`, or `None`."""
    return _functions.get()


@keras.saving.register_keras_serializable(package="adapters_tf")
class LayerNormalization(keras.layers.LayerNormalization):
    """Keras's LayerNorm, whose gamma and beta a `task_scope` can replace."""

    def call(self, inputs: Any) -> Any:
        functions = task_functions()
        if functions is None:
            return super().call(inputs)
        normalized = ops.layer_normalization(
            inputs, axis=self.axis, epsilon=self.epsilon
        )
        outputs = functions.scale_and_shift(self.path, normalized)
        return ops.cast(outputs, self.compute_dtype)
