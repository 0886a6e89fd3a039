"""What of this library needs TensorFlow, and says so where it is absent.

The layers and models run on Keras's TensorFlow and JAX backends; data pipelines, the
trainer and exports on TensorFlow alone. See docs/jax.md.
"""

import importlib.util

from adapters_tf.errors import UserError

_INSTEAD = (
    "On JAX there are the models of adapters_tf, such as AdapterTextClassifier, with "
    "fit, evaluate and predict; see docs/jax.md"
)


def require_tensorflow(what: str) -> None:
    """Refuse to go on where TensorFlow is not installed; imports nothing.

    Args:
        what: What needs it, such as `"adapters_tf.training"`.

    Raises:
        UserError: if there is no TensorFlow.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"{what} needs TensorFlow. Received: an environment without the package "
            f"tensorflow. {_INSTEAD}"
        )


def require_tensorflow_backend(what: str) -> None:
    """Refuse to go on where Keras runs on another backend than TensorFlow.

    Args:
        what: What needs it.

    Raises:
        UserError: if there is no TensorFlow, or it is not Keras's backend.
    """
    require_tensorflow(what)
    import keras

    if keras.config.backend() != "tensorflow":
        raise UserError(
            f"{what} needs Keras's TensorFlow backend: set KERAS_BACKEND=tensorflow "
            "before Keras is imported. Received: the backend "
            f"{keras.config.backend()!r}. {_INSTEAD}"
        )
