"""The base class of the task models for the active Keras backend."""

import keras

from adapters_tf.errors import UserError

_BACKEND = keras.config.backend()
if _BACKEND == "tensorflow":
    from adapters_tf.models.tensorflow_task import TensorFlowTask as BackendTask
    from adapters_tf.models.tensorflow_task import without_autograph
elif _BACKEND == "jax":
    from adapters_tf.models.jax_task import JaxTask as BackendTask
    from adapters_tf.models.jax_task import without_autograph
else:
    raise UserError(
        "adapters_tf.models runs on Keras's TensorFlow and JAX backends: set "
        "KERAS_BACKEND to tensorflow or jax before Keras is imported. Received: "
        f"the backend {_BACKEND!r}"
    )

__all__ = ["BackendTask", "without_autograph"]
