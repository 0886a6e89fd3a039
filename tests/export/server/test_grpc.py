"""TensorFlow Serving's gRPC services, with the stock client."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

Code = grpc.StatusCode


def test_predict_by_the_default_signature(running):
    response = running.grpc("", {"text": ["abc", "hä"]})
    assert response.model_spec.name == "toy"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"
    assert set(response.outputs) == {"upper", "score", "pair"}
    # As TensorFlow Serving: in the typed fields, which clients read.
    assert list(response.outputs["score"].float_val) == [3.0, 2.0]
    assert list(response.outputs["upper"].string_val) == [b"ABC", "HÄ".encode()]
    pair = tf.make_ndarray(response.outputs["pair"])
    assert pair.tolist() == [[b"abc"] * 2, ["hä".encode()] * 2]


def test_predict_tensors_and_filter_outputs(running):
    ids = np.array([[1, 2, 0], [3, 0, 0]], np.int32)
    response = running.grpc("ids", {"ids": ids})
    assert tf.make_ndarray(response.outputs["sum"]).tolist() == [3, 3]
    assert list(response.outputs["length"].int_val) == [2, 1]
    response = running.grpc("ids", {"ids": ids}, outputs=["length"])
    assert set(response.outputs) == {"length"}


def test_scalars(running):
    response = running.grpc("scalar", {"x": np.float32(2.5)})
    assert tf.make_ndarray(response.outputs["y"]) == 2.5
    assert response.outputs["bits_bytes"].string_val[0] == b"AA"


def fails(call, code, message):
    with pytest.raises(grpc.RpcError) as error:
        call()
    assert error.value.code() is code, error.value.details()
    assert message in error.value.details()


@pytest.mark.parametrize(
    ("signature", "inputs", "code", "message"),
    [
        ("no", {}, Code.FAILED_PRECONDITION, 'Serving signature key "no" not found.'),
        ("", {}, Code.INVALID_ARGUMENT, "Missing but required: {text}"),
        ("", {"text": ["a"], "x": [1]}, Code.INVALID_ARGUMENT, "Sent extra: {x}"),
        ("", {"text": [1]}, Code.INVALID_ARGUMENT, "Received: int32 [1]"),
        ("", {"text": [["a"]]}, Code.INVALID_ARGUMENT, "must be string [any]"),
        ("ids", {"ids": [[1, 100]]}, Code.INVALID_ARGUMENT, "ids must be below 100"),
        ("__saved_model_init_op", {}, Code.INVALID_ARGUMENT, "Expected prediction"),
        (
            "pair",
            {"text": ["a", "b"], "text_pair": ["c"]},
            Code.INVALID_ARGUMENT,
            "same number of rows. Received: {'text': 2, 'text_pair': 1}",
        ),
    ],
)
def test_bad_requests_are_refused(running, signature, inputs, code, message):
    fails(lambda: running.grpc(signature, inputs), code, message)


def test_bad_protos_are_refused(running):
    def send(**fields):
        proto = tf.make_tensor_proto([1], tf.int32)
        for name, value in fields.items():
            setattr(proto, name, value)
        return lambda: running.grpc("positive", {"ids": proto})

    wrong = Code.INVALID_ARGUMENT
    fails(send(tensor_content=b"123"), wrong, "tensor parsing error: ids")
    fails(send(dtype=0), wrong, "tensor parsing error: ids")
    shaped = tf.make_tensor_proto([1], tf.int32)
    shaped.tensor_shape.dim[0].size = -1
    fails(lambda: running.grpc("positive", {"ids": shaped}), wrong, "must be known")


def test_few_bytes_cannot_ask_for_a_huge_array(running):
    proto = tf.make_tensor_proto([[1]], tf.int32)
    proto.tensor_shape.dim[1].size = 1 << 40
    message = "The inputs of a request may take at most 16777216 bytes. Received: "
    fails(
        lambda: running.grpc("ids", {"ids": proto}),
        Code.RESOURCE_EXHAUSTED,
        f"{message}ids of shape [1, 1099511627776]",
    )
    # One string of 1 MB that stands for 17, or for 9 in each of two inputs.
    text = tf.make_tensor_proto(["x" * (1 << 20)])
    text.tensor_shape.dim[0].size = 17
    fails(
        lambda: running.grpc("text", {"text": text}),
        Code.RESOURCE_EXHAUSTED,
        f"{message}text of shape [17]",
    )
    text.tensor_shape.dim[0].size = 9
    fails(
        lambda: running.grpc("pair", {"text": text, "text_pair": text}),
        Code.RESOURCE_EXHAUSTED,
        message,
    )
    answer = running.grpc("text", {"text": text}, outputs=["score"])
    assert list(answer.outputs["score"].float_val) == [2.0**20] * 9


def test_a_text_of_an_error_fits_into_a_header(running):
    name = "é" * 20_000
    received = "Serving signature key"
    fails(lambda: running.grpc(name, {}), Code.FAILED_PRECONDITION, received)


def test_bytes_that_are_no_message(running):
    method = "/tensorflow.serving.PredictionService/Predict"
    call = running.channel.unary_unary(method)
    fails(lambda: call(b"no"), Code.INVALID_ARGUMENT, "The request cannot be parsed")


def test_output_filter_is_checked(running):
    def send(*outputs):
        return lambda: running.grpc("ids", {"ids": [[1]]}, outputs=outputs)

    fails(send("no"), Code.INVALID_ARGUMENT, "alias not found in signature: no")
    fails(send("sum", "sum"), Code.INVALID_ARGUMENT, "duplicate output")


def test_models_and_versions_that_are_not_there(running):
    empty = predict_pb2.PredictRequest()
    send = running.predictions.Predict
    fails(lambda: send(empty), Code.INVALID_ARGUMENT, "Missing ModelSpec")
    empty.model_spec.signature_name = "ids"
    fails(lambda: send(empty), Code.INVALID_ARGUMENT, "no name specified")
    empty.model_spec.name = "half"
    message = "Servable not found for request: Latest(half)"
    fails(lambda: send(empty), Code.NOT_FOUND, message)
    call = running.grpc
    message = "Servable not found for request: Specific(toy, 9)"
    fails(lambda: call("", {"text": ["a"]}, version=9), Code.NOT_FOUND, message)
    assert call("", {"text": ["a"]}, version=1).model_spec.version.value == 1


def test_model_metadata(running):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "toy"
    ask = running.predictions.GetModelMetadata
    fails(lambda: ask(request), Code.INVALID_ARGUMENT, "at least one metadata_field")
    request.metadata_field.append("signature_def")
    response = ask(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def["pair"].inputs) == {"text", "text_pair"}
    assert response.model_spec.version.value == 1
    request.metadata_field.append("weights")
    fails(lambda: ask(request), Code.INVALID_ARGUMENT, "weights is not supported")


def test_model_status(running):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "toy"
    (status,) = running.models.GetModelStatus(request).model_version_status
    assert status.version == 1
    assert status.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    request.model_spec.version.value = 9
    fails(
        lambda: running.models.GetModelStatus(request),
        Code.NOT_FOUND,
        "Could not find version 9 of model toy",
    )


def test_what_is_not_implemented_says_so(running):
    stub = running.predictions
    for call, request in [
        (stub.Classify, classification_pb2.ClassificationRequest()),
        (stub.Regress, regression_pb2.RegressionRequest()),
        (stub.MultiInference, inference_pb2.MultiInferenceRequest()),
        (
            running.models.HandleReloadConfigRequest,
            model_management_pb2.ReloadConfigRequest(),
        ),
    ]:
        fails(lambda c=call, r=request: c(r), Code.UNIMPLEMENTED, "local server")
