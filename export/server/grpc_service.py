"""TensorFlow Serving's gRPC services."""

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from adapters_tf.export.server.batcher import Arrays
from adapters_tf.export.server.errors import (
    ServingError,
    as_serving_error,
    invalid,
    too_large,
)
from adapters_tf.export.server.metrics import Metrics
from adapters_tf.export.server.service import Service, check_method, find_signature
from adapters_tf.export.server.versions import LoadedVersion
from adapters_tf.export.session import DEFAULT_SIGNATURE

SIGNATURE_DEF = "signature_def"
TensorProto: Any = tf.make_tensor_proto(0).__class__

# Calls beside the pending ones. Threads start only when calls come.
_MORE_CALLS = 1024
# Clients connect again by themselves.
_IDLE_MS = 300_000
# Bytes of a string in an array, beside its own.
_POINTER = 8

# dtype -> the field of a TensorProto that TensorFlow Serving fills.
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


def _answer(context: grpc.ServicerContext, method: Callable[[], Any]) -> Any:
    """Return the result of `method`, or set its error as the call's status."""
    try:
        return method()
    except Exception as error:
        failure = as_serving_error(error)
    context.abort(grpc.StatusCode[failure.code.name], failure.message)


def _unimplemented(context: grpc.ServicerContext, name: str) -> None:
    context.abort(
        grpc.StatusCode.UNIMPLEMENTED,
        f"{name} is not implemented by the local server; use Predict.",
    )


def _spec(request: Any) -> tuple[str, int | None, str | None]:
    """Return a request's model name, version and label."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    version = spec.version.value if spec.HasField("version") else None
    return spec.name, version, spec.version_label or None


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Implements Predict and GetModelMetadata.

    Args:
        service: Answers the requests.
        metrics: Counts them.
    """

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run a signature."""
        deadline = self._service.deadline(context.time_remaining())

        def run() -> Any:
            with self._metrics.request("GRPC"), self._service.admit():
                return self._predict(request, deadline)

        return _answer(context, run)

    def _predict(self, request: Any, deadline: float) -> Any:
        service = self._service
        with service.version(*_spec(request)) as version:
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            check_method(find_signature(version.session, name))
            # Check before reading values: a few bytes can stand for many rows.
            for proto in request.inputs.values():
                if proto.tensor_shape.dim:
                    service.check_rows(proto.tensor_shape.dim[0].size)
            inputs = to_arrays(request.inputs, service.options.max_request_bytes)
            outputs = service.predict(
                version, name, inputs, list(request.output_filter), deadline
            )
            response = predict_pb2.PredictResponse()
            _fill_spec(response.model_spec, request.model_spec.name, version, name)
            for key, array in outputs.items():
                response.outputs[key].CopyFrom(to_proto(array))
            return response

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return the signatures of a version."""

        def run() -> Any:
            name, version, label = _spec(request)
            if not request.metadata_field:
                raise invalid(
                    "GetModelMetadataRequest must specify at least one metadata_field"
                )
            for field in request.metadata_field:
                if field != SIGNATURE_DEF:
                    raise invalid(f"Metadata field {field} is not supported")
            return model_metadata(self._service, name, version, label)

        return _answer(context, run)

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Not implemented."""
        _unimplemented(context, "Classify")

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Not implemented."""
        _unimplemented(context, "Regress")

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Not implemented."""
        _unimplemented(context, "MultiInference")


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Implements GetModelStatus.

    Args:
        service: Knows the versions.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return the states of the versions."""

        def run() -> Any:
            name, version, _ = _spec(request)
            return model_status(self._service, name, version)

        return _answer(context, run)

    def HandleReloadConfigRequest(
        self, request: Any, context: grpc.ServicerContext
    ) -> Any:
        """Not implemented."""
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            "The local server has no model config to reload.",
        )


def _fill_spec(
    spec: Any, name: str, version: LoadedVersion, signature: str = ""
) -> None:
    spec.name = name
    spec.version.value = version.number
    spec.signature_name = signature


def model_metadata(
    service: Service, name: str, version: int | None, label: str | None
) -> Any:
    """Return a version's GetModelMetadataResponse; arguments as `Service.version`.

    Raises:
        ServingError: if there is no such model or version.
    """
    with service.version(name, version, label) as loaded:
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for key, signature in loaded.session.entries.items():
            signatures.signature_def[key].CopyFrom(signature.definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        _fill_spec(response.model_spec, name, loaded)
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response


def model_status(service: Service, name: str, version: int | None) -> Any:
    """Return the GetModelStatusResponse of one version, or of all.

    Raises:
        ServingError: if there is no such model or version.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    for known in service.statuses(name, version):
        status = response.model_version_status.add(
            version=known.version, state=int(known.state)
        )
        status.status.error_code = int(known.code)
        status.status.error_message = known.message
    return response


class _MessageFirst(grpc.ServerInterceptor):
    """Ends calls whose message does not come, or cannot be parsed.

    gRPC would hold a thread for such a call as long as its client stays, and answer
    INTERNAL for a message that is none.

    Args:
        seconds: How long a client may take to send its message.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def intercept_service(self, continuation: Callable, details: Any) -> Any:
        """Return the handler of a call."""
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler

        def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            timer = threading.Timer(self._seconds, context.cancel)
            timer.daemon = True
            timer.start()
            try:
                message = next(messages, None)
            finally:
                timer.cancel()
            try:
                request = handler.request_deserializer(message)
            except (DecodeError, TypeError) as error:
                context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"The request cannot be parsed: {error}",
                )
            return handler.unary_unary(request, context)

        # The same to clients. Here it gives the context before the message.
        return grpc.stream_unary_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )


def build_grpc_server(service: Service, metrics: Metrics) -> grpc.Server:
    """Build a gRPC server with both services that does not listen yet."""
    options = service.options
    server = grpc.server(
        # One thread for each possible pending request, and more for calls whose message
        # still comes and to reject others.
        futures.ThreadPoolExecutor(
            max_workers=options.max_pending + _MORE_CALLS, thread_name_prefix="grpc"
        ),
        interceptors=[_MessageFirst(options.request_timeout)],
        options=[
            ("grpc.max_connection_idle_ms", _IDLE_MS),
            ("grpc.max_receive_message_length", options.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            # Prevents a second server from sharing the port unnoticed.
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(service, metrics), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(service), server
    )
    return server


# === Tensors ===


def to_arrays(protos: Mapping[str, TensorProto], max_bytes: int) -> Arrays:
    """Convert a request's TensorProtos to arrays.

    Args:
        protos: The tensors by input; a single value may stand for a whole array of it.
        max_bytes: Maximum bytes of all arrays; a small proto can mean a large array.

    Returns:
        Arrays of the protos' shapes; strings are `bytes` in an object array.

    Raises:
        ServingError: if one is malformed, or they are larger than `max_bytes`.
    """
    left = max_bytes
    for name, proto in protos.items():
        left -= _array_bytes(name, proto)
        if left < 0:
            raise too_large(
                f"The inputs of a request may take at most {max_bytes} bytes. "
                f"Received: {name} of shape {_sizes(proto)}."
            )
    return {name: _to_array(name, proto) for name, proto in protos.items()}


def _sizes(proto: TensorProto) -> list[int]:
    return [dim.size for dim in proto.tensor_shape.dim]


def _array_bytes(name: str, proto: TensorProto) -> int:
    """Return the bytes of a TensorProto's array, with those of its strings."""
    sizes = _sizes(proto)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
        raise _parsing_error(name, "Its shape must be known.")
    try:
        dtype = tf.as_dtype(proto.dtype)
    except TypeError as error:
        raise _parsing_error(name, error) from error
    # Multiply in Python, because NumPy would overflow.
    count = math.prod(sizes)
    if dtype != tf.string:
        return count * max(dtype.size or 0, 1)
    # The last string stands for those that are missing.
    texts = [len(text) for text in proto.string_val]
    repeated = max(count - len(texts), 0) * (texts[-1] if texts else 0)
    return count * _POINTER + sum(texts) + repeated


def _to_array(name: str, proto: TensorProto) -> np.ndarray:
    try:
        return tf.make_ndarray(proto)
    except Exception as error:  # It raises many kinds, all by what a client sent.
        raise _parsing_error(name, error) from error


def _parsing_error(name: str, reason: object) -> ServingError:
    return invalid(f"tensor parsing error: {name}. {reason}")


def to_proto(array: np.ndarray) -> TensorProto:
    """Convert an output to a TensorProto, with values in the field of their type.

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
