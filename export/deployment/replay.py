"""The warm-up file of a version, run as TensorFlow Serving runs it."""

import os
import time

import numpy as np
import tensorflow as tf

from adapters_tf.errors import UserError
from adapters_tf.export.deployment.session import ServingSession
from adapters_tf.export.deployment.warmup import MAX_RECORDS, read_warmup


def replay_warmup(
    version_dir: str | os.PathLike[str],
) -> dict[str, tuple[float, ...]]:
    """Load a version in a TF1 session and run every record of its warm-up file.

    TensorFlow Serving refuses a version of which one record fails, and with
    batching on it cuts every output along dimension 0; so each output must
    have as many rows as the inputs, all values finite.

    Args:
        version_dir: A version of a servable.

    Returns:
        Signature name -> seconds that each of its records took, in the file's
        order. The first has what the warm-up spares clients.

    Raises:
        UserError: if the file is missing or no warm-up file, has more records
            than the server takes, or a record fails.
    """
    requests = list(read_warmup(version_dir))
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
