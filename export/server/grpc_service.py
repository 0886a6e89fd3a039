"""TensorFlow Serving's gRPC services."""

from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from adapters_tf.export.server.metrics import Metrics
from adapters_tf.export.server.service import DEFAULT_SIGNATURE, Service
from adapters_tf.export.server.status import (
    Code,
    ServingError,
    as_serving_error,
    invalid,
)
from adapters_tf.export.server.tensor_protos import to_array, to_proto
from adapters_tf.export.server.versions import Lease

SIGNATURE_DEF = "signature_def"


def _answer(context: grpc.ServicerContext, method: Callable[[], Any]) -> Any:
    """What `method` returns, or its error as the call's status."""
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
    """A request's model name, version and label."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    version = spec.version.value if spec.HasField("version") else None
    return spec.name, version, spec.version_label or None


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata.

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
        with service.lease(*_spec(request)) as lease:
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            signature = lease.model.signatures.get(name)
            if signature is None:
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f'Serving signature key "{name}" not found.',
                )
            signature.check_method()
            # Before the values are read: a few bytes may ask for many rows.
            for proto in request.inputs.values():
                if proto.tensor_shape.dim:
                    service.check_rows(proto.tensor_shape.dim[0].size)
            inputs = {
                key: to_array(key, proto, service.options.max_request_bytes)
                for key, proto in request.inputs.items()
            }
            outputs = service.predict(
                lease, signature, inputs, list(request.output_filter), deadline
            )
            response = predict_pb2.PredictResponse()
            _fill_spec(response.model_spec, request.model_spec.name, lease, name)
            for key, array in outputs.items():
                response.outputs[key].CopyFrom(to_proto(array))
            return response

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The signatures of a version."""
        return _answer(context, lambda: model_metadata(self._service, request))

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
    """GetModelStatus.

    Args:
        service: Knows the versions.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The states of the versions."""
        return _answer(context, lambda: model_status(self._service, request))

    def HandleReloadConfigRequest(
        self, request: Any, context: grpc.ServicerContext
    ) -> Any:
        """Not implemented."""
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            "The local server has no model config to reload.",
        )


def _fill_spec(spec: Any, name: str, lease: Lease, signature: str = "") -> None:
    spec.name = name
    spec.version.value = lease.version
    spec.signature_name = signature


def model_metadata(service: Service, request: Any) -> Any:
    """The GetModelMetadataResponse to a GetModelMetadataRequest.

    Raises:
        ServingError: It asks for anything but signatures, or for no model here.
    """
    name, version, label = _spec(request)
    if not request.metadata_field:
        raise invalid(
            "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in request.metadata_field:
        if field != SIGNATURE_DEF:
            raise invalid(f"Metadata field {field} is not supported")
    with service.lease(name, version, label) as lease:
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for key, signature in lease.model.signatures.items():
            signatures.signature_def[key].CopyFrom(signature.definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        _fill_spec(response.model_spec, name, lease)
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response


def model_status(service: Service, request: Any) -> Any:
    """The GetModelStatusResponse to a GetModelStatusRequest.

    Raises:
        ServingError: There is no such model or version.
    """
    name, version, _ = _spec(request)
    response = get_model_status_pb2.GetModelStatusResponse()
    for known in service.statuses(name, version):
        status = response.model_version_status.add(
            version=known.version, state=int(known.state)
        )
        status.status.error_code = int(known.code)
        status.status.error_message = known.message
    return response


def build_grpc_server(service: Service, metrics: Metrics) -> grpc.Server:
    """A gRPC server with both services, not yet listening."""
    options = service.options
    server = grpc.server(
        # A thread for every request that may be pending, and a few to refuse more.
        futures.ThreadPoolExecutor(
            max_workers=options.max_pending + 8, thread_name_prefix="grpc"
        ),
        options=[
            ("grpc.max_receive_message_length", options.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            # Otherwise a second server could listen on the same port unnoticed.
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
