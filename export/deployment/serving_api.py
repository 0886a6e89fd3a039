"""TensorFlow Serving's own protos, imported where they are used."""

import importlib
from types import ModuleType

from adapters_tf.errors import UserError

# 2.21 declares TensorFlow 2.21 but works with 2.20, and no older one imports
# with the protobuf of TensorFlow 2.20: no extra of this package can name it.
INSTALL_COMMAND = 'pip install --no-deps "tensorflow-serving-api>=2.21,<2.22"'


def serving_proto(module: str) -> ModuleType:
    """A module of `tensorflow-serving-api`.

    Args:
        module: Its name in `tensorflow_serving`, such as `"apis.predict_pb2"`.

    Raises:
        UserError: if the package is not installed, or not one that works with
            the TensorFlow that is.
    """
    try:
        return importlib.import_module(f"tensorflow_serving.{module}")
    except (ImportError, TypeError, AttributeError) as error:
        # Protobuf raises the last two for modules that another version made.
        raise UserError(
            "TensorFlow Serving's protos come with the package tensorflow-serving-api."
            f" Received: {type(error).__name__}: {error}. Install it with: "
            f"{INSTALL_COMMAND}"
        ) from error
