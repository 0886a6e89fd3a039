"""Running an encoder's blocks with tensors in place of their own task variables."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any, Protocol

import keras
from keras import ops


class TaskFunctions(Protocol):
    """What a task puts in the place of adapters and LayerNorm parameters."""

    def adapter(self, path: str, inputs: Any) -> Any:
        """The output of the adapter at `path`, residual included.

        Args:
            path: Such as `"transformer_layer_0/attention_adapter"`.
            inputs: `[batch, length, d]`, the sub-layer's output.
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

    So one base serves many tasks, whose tensors are arguments: adapters of any
    bottleneck size, or other ones for each row of a batch.

    Args:
        functions: What to compute at each adapter and LayerNorm.
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
