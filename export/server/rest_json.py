"""The REST API's JSON for requests and answers, as in TensorFlow Serving."""

import base64
import binascii
import json
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from adapters_tf.export.server.errors import Code, ServingError, invalid
from adapters_tf.export.session import TensorInfo

_B64 = "b64"
_BYTES_SUFFIX = "_bytes"
_MAX_RANK = 32

# === Requests ===


def parse_body(body: bytes) -> dict[str, Any]:
    """Parse the JSON object of a request.

    `NaN`, `Infinity` and `-Infinity` are numbers, as in TensorFlow Serving.

    Raises:
        ServingError: if it is not a JSON object, or its signature_name is not a text.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_show(document)} Is not object")
    if not isinstance(document.get("signature_name", ""), str):
        raise invalid(
            f"JSON Value: {_show(document)} not formatted correctly. 'signature_name' "
            "key must be a string value."
        )
    return document


def read_inputs(
    document: dict[str, Any], infos: dict[str, TensorInfo]
) -> tuple[dict[str, np.ndarray], bool]:
    """Read the input arrays of a request.

    Args:
        document: The request's object.
        infos: The signature's inputs.

    Returns:
        Arrays by input name, and whether they came in rows (`instances`) rather than in
        columns (`inputs`).

    Raises:
        ServingError: if not exactly one key is present, or a value does not fit.
    """
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {_show(document)} Not formatted correctly expecting only one "
            "of 'inputs' or 'instances' keys to exist "
        )
    if "instances" in document:
        return _rows(document["instances"], infos), True
    if "inputs" in document:
        return _columns(document["inputs"], infos), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _rows(instances: Any, infos: dict[str, TensorInfo]) -> dict[str, np.ndarray]:
    if not isinstance(instances, list):
        raise invalid(
            f"JSON Value: {_show(instances)} Excepting 'instances' to be an list/array"
        )
    if not instances:
        raise invalid("JSON Value: [] No values in 'instances' array")
    named = _is_object(instances[0])
    if not named and len(infos) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    for i, row in enumerate(instances):
        if _is_object(row) != named:
            wanted, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {wanted} but got {got} at item {i} of input list")
        if named and set(row) != set(infos):
            raise invalid(
                f"Failed to process element: {i} of 'instances' list. JSON object: "
                f"{_show(row)} keys must be equal to: {','.join(sorted(infos))}"
            )
    return {
        name: _stack([row[name] if named else row for row in instances], name, info)
        for name, info in infos.items()
    }


def _stack(rows: list[Any], name: str, info: TensorInfo) -> np.ndarray:
    """Stack one input of all rows, which must have the same shape."""
    shape = _shape(rows[0])
    values: list[Any] = []
    for i, row in enumerate(rows):
        try:
            if _shape(row) != shape:
                raise invalid(f"Expecting shape {shape} but got: {_shape(row)}")
            _flatten(row, shape, values)
        except ServingError as error:
            raise invalid(
                f"Failed to process element: {i} key: {name} of 'instances' list. "
                f"Error: {error.message}"
            ) from error
    return _array(values, info.dtype, [len(rows), *shape])


def _columns(inputs: Any, infos: dict[str, TensorInfo]) -> dict[str, np.ndarray]:
    if not _is_object(inputs):
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        inputs = dict.fromkeys(infos, inputs)
    arrays = {}
    for name, info in infos.items():
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        shape = _shape(inputs[name])
        values: list[Any] = []
        _flatten(inputs[name], shape, values)
        arrays[name] = _array(values, info.dtype, shape)
    return arrays


def _is_object(value: Any) -> bool:
    """Whether a value maps names to tensors, rather than holding base64 text."""
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {_B64} and type(value[_B64]) is str


def _shape(value: Any) -> list[int]:
    """Return the shape of a nested list, assuming that it is regular."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > _MAX_RANK:
            raise invalid(f"Lists may be nested {_MAX_RANK} deep at most.")
        if not value:
            break
        value = value[0]
    return shape


def _flatten(value: Any, shape: list[int], values: list[Any], level: int = 0) -> None:
    """Append the leaves of a nested list with this shape."""
    if level == len(shape):
        if isinstance(value, list):
            raise invalid(
                f"Encountered list at unexpected level: {level} expected < {level}"
            )
        values.append(value)
        return
    if not isinstance(value, list):
        raise invalid(
            f"JSON Value: {_show(value)} found at incorrect level: {level + 1} in the "
            f"JSON DOM. Expected at level: {len(shape)}"
        )
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        _flatten(item, shape, values, level + 1)


def _array(values: list[Any], dtype: tf.DType, shape: list[int]) -> np.ndarray:
    """Convert the leaves to an array, and check each against the dtype."""
    if dtype == tf.string:
        array = np.empty(len(values), object)
        array[:] = [_text(value) for value in values]
        return array.reshape(shape)
    if dtype == tf.bool:
        allowed: set[type] = {bool}
    elif dtype.is_integer:
        allowed = {int}
    elif dtype in (tf.float32, tf.float64):
        allowed = {int, float}
    else:
        raise ServingError(
            Code.UNIMPLEMENTED, f"Conversion of JSON values to type: {dtype.name}"
        )
    if not set(map(type, values)) <= allowed:
        raise _type_error(next(v for v in values if type(v) not in allowed), dtype)
    if dtype.is_integer:
        for value in (min(values, default=0), max(values, default=0)):
            if not dtype.min <= value <= dtype.max:
                raise _type_error(value, dtype)
    elif dtype != tf.bool:
        _check_lossless(values, dtype)
    return np.array(values, dtype.as_numpy_dtype).reshape(shape)


def _check_lossless(values: list[Any], dtype: tf.DType) -> None:
    """Reject integers with too many digits, and numbers out of range."""
    digits = 24 if dtype == tf.float32 else 53
    for value in values:
        if isinstance(value, int):
            fits = abs(value) < 2**digits
        else:
            fits = not np.isfinite(value) or abs(value) <= float(dtype.max)
        if not fits:
            raise invalid(
                f"Cannot convert JSON value: {_show(value)} to {dtype.name} without "
                "loss of precision."
            )


def _text(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise invalid(f"JSON Parse error: {error}") from error
    if _is_base64(value):
        try:
            return base64.b64decode(value[_B64], validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid("Unable to base64 decode") from error
    if isinstance(value, dict):
        raise invalid(
            f"JSON Value: {_show(value)} not formatted correctly for base64 data"
        )
    raise _type_error(value, tf.string)


def _type_error(value: Any, dtype: tf.DType) -> ServingError:
    kinds = {bool: str(value), dict: "Object", str: "String", type(None): "Null"}
    return invalid(
        f"JSON Value: {_show(value)} Type: {kinds.get(type(value), 'Number')} is not "
        f"of expected type: {dtype.name}"
    )


def _show(value: Any) -> str:
    """Show a value in an error, shortened if large."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "(deeply nested)"
    return text if len(text) <= 100 else f"{text[:100]}..."


# === Answers ===


def predictions_body(outputs: dict[str, np.ndarray], in_rows: bool) -> bytes:
    """Return the answer to a Predict request.

    A single output has unnamed values. Several outputs are named, in an object for each
    row or in one object of columns. Strings are UTF-8, or {"b64": ...} if the output's
    name ends in `_bytes`.

    Args:
        outputs: The outputs by name; strings as `bytes` in an object array.
        in_rows: Whether the request came in rows.

    Raises:
        ServingError: if rows are requested and an output has none.
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
    """Return the answer to a failed request."""
    return _dump({"error": message})


def status_body(response: Any) -> bytes:
    """Return the JSON of a GetModelStatusResponse."""
    return _json(response).encode()


def metadata_body(response: Any) -> bytes:
    """Return the JSON of a GetModelMetadataResponse, with its `Any` expanded."""
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
        # Use the shortest digits of this float32: 0.2 instead of 0.20000000298.
        return array.astype("U").astype(np.float64).tolist()
    if array.dtype.kind not in "biuf":
        raise invalid(f"Failed to write JSON value for tensor type: {array.dtype}")
    return array.tolist()


def _utf8(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}
