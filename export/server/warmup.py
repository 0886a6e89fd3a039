"""Warm-up requests, as TensorFlow Serving replays them after loading."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from adapters_tf.export.server.saved_model import SavedModel
from adapters_tf.export.server.status import Code, ServingError, as_serving_error
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
        ServingError: A request failed or is of another kind than Predict, the file
            is damaged, or there are more than 1000 requests, which TensorFlow
            Serving refuses as well.
    """
    path = directory / PATH
    if not path.is_file():
        return 0
    count = 0
    for record in _records(path):
        count += 1
        if count > MAX_RECORDS:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"Number of warm-up records exceeds the maximum ({MAX_RECORDS}).",
            )
        log = _parse(record, count)
        if log.WhichOneof("log_type") != "predict_log":
            raise ServingError(
                Code.UNIMPLEMENTED,
                f"Warm-up request {count} must be a predict_log. Received: "
                f"{log.WhichOneof('log_type')}.",
            )
        try:
            _run(model, log.predict_log.request)
        except Exception as error:
            failure = as_serving_error(error)
            raise ServingError(
                failure.code, f"Warm-up request {count} failed: {failure.message}"
            ) from error
    return count


def _parse(record: bytes, count: int) -> Any:
    try:
        return prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise ServingError(
            Code.DATA_LOSS, f"Warm-up request {count} is no PredictionLog: {error}"
        ) from error


def _records(path: Path) -> Iterator[bytes]:
    try:
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    except tf.errors.DataLossError as error:
        raise ServingError(
            Code.DATA_LOSS, f"{path} must be a TFRecord file. It is damaged."
        ) from error


def _run(model: SavedModel, request: Any) -> None:
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
