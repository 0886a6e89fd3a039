"""Warm-up requests, as TensorFlow Serving replays them after loading."""

from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from adapters_tf.export.server.saved_model import SavedModel
from adapters_tf.export.server.status import Code, ServingError
from adapters_tf.export.server.tensor_protos import to_array

PATH = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000
_MAX_BYTES = 1 << 30
_DEFAULT = "serving_default"


def replay(model: SavedModel, directory: Path) -> int:
    """Run a version's warm-up requests, if it has any.

    Args:
        model: The loaded version.
        directory: Where it was loaded from.

    Returns:
        The number of requests.

    Raises:
        ServingError: A request failed, is of another kind than Predict, or there
            are more than 1000, which TensorFlow Serving refuses as well.
        tf.errors.OpError: The file is damaged.
    """
    path = directory / PATH
    if not path.is_file():
        return 0
    count = 0
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        count += 1
        if count > MAX_RECORDS:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"Number of warm-up records exceeds the maximum ({MAX_RECORDS}).",
            )
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if log.WhichOneof("log_type") != "predict_log":
            raise ServingError(
                Code.UNIMPLEMENTED,
                f"Warm-up request {count} must be a predict_log. Received: "
                f"{log.WhichOneof('log_type')}.",
            )
        try:
            _run(model, log.predict_log.request)
        except ServingError as error:
            raise ServingError(
                error.code, f"Warm-up request {count} failed: {error.message}"
            ) from error
    return count


def _run(model: SavedModel, request: object) -> None:
    name = request.model_spec.signature_name or _DEFAULT
    signature = model.signatures.get(name)
    if signature is None:
        raise ServingError(
            Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
        )
    inputs = {
        key: to_array(key, proto, _MAX_BYTES) for key, proto in request.inputs.items()
    }
    model.run(
        signature,
        signature.complete(inputs),
        signature.select(list(request.output_filter)),
    )
