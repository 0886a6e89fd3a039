"""What the server needs beyond the library itself, and how to install it."""

import importlib
import importlib.util

from adapters_tf.errors import UserError

EXTRA = ("grpc", "prometheus_client", "starlette", "uvicorn")
# No extra can name it: it declares a TensorFlow newer than the one it works with.
PROTOS = 'pip install --no-deps "tensorflow-serving-api>=2.21,<2.22"'


def check_installed() -> None:
    """Refuse to go on without the packages of the server.

    Raises:
        UserError: One is missing or cannot be imported; names the command.
    """
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"The local server needs {', '.join(missing)}, which is not installed. "
            'Run: pip install "adapters-tf[serve]"'
        )
    try:
        importlib.import_module("tensorflow_serving.apis.prediction_service_pb2_grpc")
        importlib.import_module("tensorflow_serving.apis.model_service_pb2_grpc")
    except Exception as error:  # an older version fails in its own ways
        raise UserError(
            "The local server needs TensorFlow Serving's protocol buffers, and "
            f"importing them failed ({type(error).__name__}: {error}). Run: {PROTOS}"
        ) from error
