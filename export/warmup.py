"""Warm-up requests, which TensorFlow Serving runs before it serves a version."""

import dataclasses
import itertools
import os
import time
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
from adapters_tf.export.deployment.write import (
    Examples,
    default_examples,
    make_inputs,
    task_of,
)
from adapters_tf.export.describe import read_servable_json
from adapters_tf.export.serving_protos import serving_proto
from adapters_tf.export.session import ServingSession, Signature, read_signatures
from adapters_tf.io import new_file

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
# The server rejects a version with more records.
MAX_RECORDS = 1000
# A server runs all records at every start, and the first call of a signature takes
# seconds. This many warm all signatures of up to 49 tasks; with more tasks, the first
# use of a signature warms it.
VERSION_LIMIT = 100
# Rows and share of seq_length for a signature's first, second and third record. Only
# the first has a short and a long text and full rows of tokens.
_ROUNDS = ((2, 1.0), (1, 0.25), (8, 0.5))


@dataclasses.dataclass(frozen=True)
class Warmup:
    """Warm-up records, and the signatures without one.

    Attributes:
        records: Serialized `PredictionLog`s, the most important first.
        left_out: Names of the signatures without a record, whose first request
            will be slow.
    """

    records: tuple[bytes, ...]
    left_out: tuple[str, ...]


def check_can_write_warmup() -> None:
    """Check that TensorFlow Serving's protos are installed.

    Raises:
        UserError: if they are missing; names the command that installs them.
    """
    serving_proto("apis.prediction_log_pb2")


def write_version_warmup(version_dir: Path) -> None:
    """Write the warm-up file of a version that this package wrote."""
    examples = default_examples(read_servable_json(version_dir))
    signatures = read_signatures(version_dir)
    warmup = warmup_records(signatures, examples, limit=VERSION_LIMIT)
    write_warmup(version_dir, warmup.records)


def warmup_records(
    signatures: Mapping[str, Signature],
    examples: Examples,
    model_name: str = DEFAULT_MODEL_NAME,
    limit: int = MAX_RECORDS,
) -> Warmup:
    """Make at most `limit` predict requests for the signatures.

    Each signature gets one request: first signatures for all tasks, then each task's in
    the order of `examples`, with strings before tokens. Second and third requests, with
    other batch sizes and token lengths, follow up to the limit.

    Args:
        signatures: From `read_signatures`.
        examples: From `default_examples`.
        model_name: The model name of the requests.
        limit: Maximum number of records, up to 1000. Each takes time at every start of
            the server.

    Raises:
        UserError: if the limit is out of range, or there is no example for a
            signature's inputs.
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
    """Build a `PredictRequest`.

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
    """Write `assets.extra/tf_serving_warmup_requests` atomically.

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


def warmup_requests(path: Path) -> Iterator[Any]:
    """Yield the `PredictRequest`s of a warm-up file, in order.

    Raises:
        tf.errors.DataLossError: if the file or a record is damaged.
        tf.errors.UnimplementedError: if a record is of another kind than Predict.
    """
    proto = serving_proto("apis.prediction_log_pb2").PredictionLog
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    for number in itertools.count(1):
        try:
            log = proto.FromString(next(records))
        except StopIteration:
            return
        except tf.errors.DataLossError as error:
            raise tf.errors.DataLossError(
                None, None, f"{path} must be a TFRecord file. It is damaged."
            ) from error
        except DecodeError as error:
            raise tf.errors.DataLossError(
                None, None, f"Warm-up request {number} is no PredictionLog: {error}"
            ) from error
        if log.WhichOneof("log_type") != "predict_log":
            raise tf.errors.UnimplementedError(
                None,
                None,
                f"Warm-up request {number} must be a predict_log. Received: "
                f"{log.WhichOneof('log_type')}.",
            )
        yield log.predict_log.request


def read_warmup(version_dir: str | os.PathLike[str]) -> list[Any]:
    """Read the `PredictRequest`s of a version's warm-up file, in order.

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
    try:
        return list(warmup_requests(path))
    except tf.errors.OpError as error:
        raise UserError(
            "A warm-up file is a TFRecord of PredictionLog with Predict requests. "
            f"Received: {path}: {error.message}"
        ) from error


def replay_warmup(
    version_dir: str | os.PathLike[str],
) -> dict[str, tuple[float, ...]]:
    """Load a version in a TF1 session and run every record of its warm-up file.

    TensorFlow Serving rejects a version if a record fails. With batching, it also
    splits every output along dimension 0. So each output must have as many rows as the
    inputs, and only finite values.

    Args:
        version_dir: A version of a servable.

    Returns:
        Signature name -> seconds for each of its records, in the file's order. The
        first number is the time that the warm-up saves clients.

    Raises:
        UserError: if the file is missing, is not a warm-up file, has more records than
            the server accepts, or a record fails.
    """
    requests = read_warmup(version_dir)
    if not 1 <= len(requests) <= MAX_RECORDS:
        raise UserError(
            f"A warm-up file must hold 1 to {MAX_RECORDS} records. Received: "
            f"{len(requests)}"
        )
    seconds: dict[str, list[float]] = {}
    with ServingSession(version_dir) as session:
        for number, request in enumerate(requests):
            name = request.model_spec.signature_name
            inputs = {key: tf.make_ndarray(t) for key, t in request.inputs.items()}
            where = f"record {number} of the warm-up, signature {name!r}"
            start = time.perf_counter()
            try:
                outputs = session.run(name, inputs)
            except (UserError, tf.errors.OpError, TypeError, ValueError) as error:
                raise UserError(
                    "Every record of a warm-up must run, or TensorFlow Serving refuses "
                    f"the version. Received: {where}: {error}"
                ) from error
            seconds.setdefault(name, []).append(time.perf_counter() - start)
            _check_rows(inputs, outputs, where)
    return {name: tuple(times) for name, times in seconds.items()}


def _check_rows(
    inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray], where: str
) -> None:
    rows = {value.shape[0] if value.ndim else None for value in inputs.values()}
    for name, value in outputs.items():
        if len(rows) != 1 or value.ndim == 0 or {value.shape[0]} != rows:
            raise UserError(
                "Every input and output must have the batch as dimension 0, so that "
                f"TensorFlow Serving can batch requests. Received: {where}, output "
                f"{name!r} of shape {value.shape} for inputs of shapes "
                f"{ {key: array.shape for key, array in inputs.items()} }"
            )
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UserError(
                f"Outputs must be finite. Received: {where}, output {name!r}"
            )


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
