"""TensorProto to array and back, laid out as TensorFlow Serving does."""

from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.export.server.status import invalid, too_large

TensorProto: Any = tf.make_tensor_proto(0).__class__

_FIELDS = {
    **dict.fromkeys(("int8", "uint8", "int16", "uint16", "int32"), "int_val"),
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "string": "string_val",
}


def to_array(name: str, proto: TensorProto, max_bytes: int) -> np.ndarray:
    """The array that a request's TensorProto stands for.

    Args:
        name: The input's name, for the error.
        proto: The tensor; a single value may stand for a whole array of it.
        max_bytes: What the array may take, as few bytes can ask for a large one.

    Returns:
        An array of the proto's shape; strings are `bytes` in an object array.

    Raises:
        ServingError: It is malformed, or larger than `max_bytes`.
    """
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
        raise invalid(f"tensor parsing error: {name}. Its shape must be known.")
    try:
        dtype = tf.as_dtype(proto.dtype)
        # A Python product: NumPy's would overflow. A string takes a pointer.
        count = 1
        for size in sizes:
            count *= size
        if count * max(dtype.size or 8, 1) > max_bytes:
            raise too_large(
                f"An input may take at most {max_bytes} bytes. Received: {name} of "
                f"shape {sizes}."
            )
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, IndexError) as error:
        raise invalid(f"tensor parsing error: {name}. {error}") from error


def to_proto(array: np.ndarray) -> TensorProto:
    """The TensorProto of an output, its values in the field of their type.

    TensorFlow Serving fills `float_val` and its kin by default, and clients read
    those; `tf.make_tensor_proto` would fill `tensor_content`.

    Args:
        array: Any shape; strings as `bytes` in an object array.
    """
    dtype = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
    field = _FIELDS.get(dtype.name)
    if field is None:
        return tf.make_tensor_proto(array)
    proto = TensorProto(dtype=dtype.as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, field).extend(array.ravel().tolist())
    return proto
