"""The requests that TensorFlow Serving runs before it serves a version."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from adapters_tf.errors import UserError
from adapters_tf.export.deployment.config_files import (
    DEFAULT_MODEL_NAME,
    check_model_name,
)
from adapters_tf.export.deployment.examples import Examples, make_inputs, task_of
from adapters_tf.export.deployment.serving_api import serving_proto
from adapters_tf.export.deployment.signatures import Signature
from adapters_tf.io import new_file

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
# With more, the server refuses the version.
MAX_RECORDS = 1000
# Rows, and the share of seq_length, of a signature's first, second ... record.
# The first alone has a short and a long text and full rows of tokens.
_ROUNDS = ((2, 1.0), (1, 0.25), (8, 0.5))


@dataclasses.dataclass(frozen=True)
class Warmup:
    """Warm-up records, and what they leave out.

    Attributes:
        records: Serialized `PredictionLog`s, the most important first.
        left_out: Names of the signatures without a record, whose first request
            will be slow.
    """

    records: tuple[bytes, ...]
    left_out: tuple[str, ...]


def warmup_records(
    signatures: Mapping[str, Signature],
    examples: Examples,
    model_name: str = DEFAULT_MODEL_NAME,
    limit: int = MAX_RECORDS,
) -> Warmup:
    """Predict requests for every signature, at most `limit`.

    First one request for each signature: those of all tasks, then the tasks in
    the order of `examples`, on strings before tokens. Then a second one for
    each, and a third, of other batch sizes and token lengths, as far as the
    limit goes.

    Args:
        signatures: From `read_signatures`.
        examples: From `default_examples`.
        model_name: The model name of the requests.
        limit: Records at most, up to 1000. Each costs time at every start of
            the server.

    Raises:
        UserError: if the limit is out of range, or a signature has inputs
            that no example is known for.
    """
    check_model_name(model_name)
    if not 1 <= limit <= MAX_RECORDS:
        raise UserError(
            f"limit must be between 1 and {MAX_RECORDS}, which is all that TensorFlow "
            f"Serving accepts. Received: limit={limit}"
        )
    order = _by_importance(signatures, examples)
    records: list[bytes] = []
    for rows, share in _ROUNDS:
        for name in order[: limit - len(records)]:
            length = max(1, round(examples.seq_length * share))
            inputs = make_inputs(name, signatures[name], examples, rows, length)
            request = predict_request(model_name, name, inputs)
            log = serving_proto("apis.prediction_log_pb2").PredictionLog()
            log.predict_log.request.CopyFrom(request)
            records.append(log.SerializeToString(deterministic=True))
    return Warmup(tuple(records), tuple(order[limit:]))


def predict_request(
    model_name: str, signature_name: str, inputs: Mapping[str, np.ndarray]
) -> Any:
    """A `PredictRequest`.

    Args:
        model_name: The model to ask.
        signature_name: Its signature.
        inputs: Input name -> array; strings as an array of bytes objects.
    """
    request = serving_proto("apis.predict_pb2").PredictRequest()
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature_name
    for name, value in sorted(inputs.items()):
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value, shape=value.shape))
    return request


def write_warmup(version_dir: str | os.PathLike[str], records: Sequence[bytes]) -> Path:
    """Write `assets.extra/tf_serving_warmup_requests`, whole or not at all.

    Args:
        version_dir: A version of a servable, before TensorFlow Serving sees it.
        records: Serialized `PredictionLog`s, such as `Warmup.records`.

    Returns:
        The file.

    Raises:
        UserError: if there are more than 1000 records, or it cannot be written.
    """
    if len(records) > MAX_RECORDS:
        raise UserError(
            f"A warm-up file holds at most {MAX_RECORDS} records: with more, "
            f"TensorFlow Serving refuses the version. Received: {len(records)}"
        )
    path = Path(version_dir) / WARMUP_FILE
    try:
        path.parent.mkdir(exist_ok=True)
        with new_file(path) as temporary:
            with tf.io.TFRecordWriter(str(temporary)) as writer:
                for record in records:
                    writer.write(record)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"{path} could not be written: {error}") from error
    return path


def read_warmup(version_dir: str | os.PathLike[str]) -> Iterator[Any]:
    """The `PredictRequest`s of a version's warm-up file, in order.

    Raises:
        UserError: if the file is missing or damaged, or holds a record that is
            no predict request.
    """
    path = Path(version_dir) / WARMUP_FILE
    if not path.is_file():
        raise UserError(
            f"A version with warm-up has the file {WARMUP_FILE}. Received: {path}, "
            "which is missing. Write it with write_warmup."
        )
    proto = serving_proto("apis.prediction_log_pb2").PredictionLog
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log = proto.FromString(record)
            if log.WhichOneof("log_type") != "predict_log":
                raise ValueError("a record is no predict_log")
            yield log.predict_log.request
    except (tf.errors.DataLossError, DecodeError, ValueError) as error:
        raise UserError(
            "A warm-up file is a TFRecord of PredictionLog with Predict requests. "
            f"Received: {path}: {error}"
        ) from error


def _by_importance(
    signatures: Mapping[str, Signature], examples: Examples
) -> list[str]:
    place = {task: i for i, task in enumerate(examples.rows)}

    def key(name: str) -> tuple[Any, ...]:
        task = task_of(name, examples)
        if task is None:
            return (0, 0, 0, name)
        on_tokens = "text" not in signatures[name].inputs
        return (1, on_tokens, place[task], name)

    return sorted(signatures, key=key)
