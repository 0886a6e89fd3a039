"""The bodies of REST answers, in TensorFlow Serving's shapes."""

import base64
import json
from typing import Any

import numpy as np
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from adapters_tf.export.server.status import invalid

_BYTES_SUFFIX = "_bytes"


def predictions(outputs: dict[str, np.ndarray], in_rows: bool) -> bytes:
    """The answer to a Predict request.

    With one output its values stand alone; several are named, in an object for
    each row or in one object of columns. Strings are UTF-8, and {"b64": ...} for
    an output whose name ends in `_bytes`.

    Args:
        outputs: The outputs by name; strings as `bytes` in an object array.
        in_rows: Whether the request came in rows.

    Raises:
        ServingError: Rows are asked for, and an output has none.
    """
    if in_rows:
        _check_rows(outputs)
    columns = {name: _values(name, array) for name, array in outputs.items()}
    if len(columns) == 1:
        answer: Any = next(iter(columns.values()))
    elif in_rows:
        rows = zip(*columns.values(), strict=True)
        answer = [dict(zip(columns, row, strict=True)) for row in rows]
    else:
        answer = columns
    return _dump({"predictions" if in_rows else "outputs": answer})


def error_body(message: str) -> bytes:
    """The answer to a request that failed."""
    return _dump({"error": message})


def status_body(response: Any) -> bytes:
    """The JSON of a GetModelStatusResponse."""
    return _json(response).encode()


def metadata_body(response: Any) -> bytes:
    """The JSON of a GetModelMetadataResponse, whose `Any` is spelled out."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return (
        f'{{\n"model_spec":{_json(response.model_spec)},\n'
        f'"metadata": {{"signature_def": {_json(signatures)}}}\n}}\n'
    ).encode()


def _json(message: Any) -> str:
    return json_format.MessageToJson(
        message,
        always_print_fields_with_no_presence=True,
        preserving_proto_field_name=True,
        indent=1,
    )


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _check_rows(outputs: dict[str, np.ndarray]) -> None:
    rows = None
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if rows is not None and array.shape[0] != rows:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} "
                f"expecting: {rows}"
            )
        rows = array.shape[0]


def _values(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        encode = _base64 if name.endswith(_BYTES_SUFFIX) else _utf8
        encoded = np.empty(array.shape, object)
        encoded.reshape(-1)[:] = [encode(value) for value in array.reshape(-1)]
        return encoded.tolist()
    if array.dtype == np.float32:
        # The shortest digits that are this float32: 0.2 and not 0.20000000298.
        return array.astype("U").astype(np.float64).tolist()
    if array.dtype.kind not in "biuf":
        raise invalid(f"Failed to write JSON value for tensor type: {array.dtype}")
    return array.tolist()


def _utf8(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}
