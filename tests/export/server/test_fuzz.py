"""Thousands of requests that a schema allows, or nearly: none is a server's error."""

import gzip
import http.client
import json
import random

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

# Not `slow`, which may take as long as it is told to.
SIGNATURES = ["", "text", "pair", "ids", "positive", "scalar", "__saved_model_init_op"]
INPUTS = ["text", "text_pair", "ids", "x"]
CLIENT_ERRORS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
}
INTEGERS = [0, 1, 2, 3, 8, 100, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**64 - 1]
TEXTS = ["", "a", "toy", "é\u0301 中", "\0", "x" * 9000, "é" * 5000, "1", "{}", "%00"]


@pytest.fixture(autouse=True)
def _no_traceback(caplog):
    yield
    # What was logged in the test itself, by any thread.
    records = caplog.get_records("call")
    assert [
        r.getMessage() for r in records if r.exc_info or r.levelname == "ERROR"
    ] == []


# === gRPC ===


def scalar(field, rng):
    """A value of a field's type, often at the ends of its range."""
    kinds = FieldDescriptor
    if field.type == kinds.TYPE_ENUM:
        return rng.choice([*field.enum_type.values_by_number, 999, -1])
    if field.type == kinds.TYPE_STRING:
        return rng.choice([*TEXTS, *SIGNATURES, *INPUTS, "signature_def"])
    if field.type == kinds.TYPE_BYTES:
        return rng.choice([t.encode() for t in TEXTS] + [b"\xff\xfe", bytes(16)])
    if field.cpp_type in (kinds.CPPTYPE_FLOAT, kinds.CPPTYPE_DOUBLE):
        return rng.choice([0.0, -1.5, 2.5, float("nan"), float("inf"), -3e38])
    if field.type == kinds.TYPE_BOOL:
        return rng.random() < 0.5
    bits = 32 if field.cpp_type in (kinds.CPPTYPE_INT32, kinds.CPPTYPE_UINT32) else 64
    if field.cpp_type in (kinds.CPPTYPE_UINT32, kinds.CPPTYPE_UINT64):
        return rng.choice([n for n in INTEGERS if n < 2**bits])
    value = rng.choice([n for n in INTEGERS if n < 2 ** (bits - 1)])
    return rng.choice([value, value, -value, -value - 1])


def fill(message, rng, depth=0):
    """Set some of a message's fields, and theirs."""
    for field in message.DESCRIPTOR.fields:
        if depth > 5 or rng.random() < 0.5:
            continue
        about = field.message_type
        if about is not None and about.GetOptions().map_entry:
            entries, of = getattr(message, field.name), about.fields_by_name["value"]
            for key in rng.sample(INPUTS, rng.randrange(3)):
                if of.message_type is None:
                    entries[key] = scalar(of, rng)
                else:
                    fill(entries[key], rng, depth + 1)
        elif field.is_repeated:
            values = getattr(message, field.name)
            for _ in range(rng.randrange(4)):
                if about is not None:
                    fill(values.add(), rng, depth + 1)
                else:
                    values.append(scalar(field, rng))
        elif about is not None:
            getattr(message, field.name).SetInParent()
            fill(getattr(message, field.name), rng, depth + 1)
        else:
            setattr(message, field.name, scalar(field, rng))
    return message


def predict_request(rng):
    """A Predict request that gets as far as its tensors, and often to the model."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    name = request.model_spec.signature_name = rng.choice(SIGNATURES)
    inputs = {"pair": ["text", "text_pair"], "ids": ["ids"], "positive": ["ids"]}
    inputs["scalar"] = ["x"]
    for key in inputs.get(name, ["text"]):
        tensor = fill(request.inputs[key], rng)
        if rng.random() < 0.5:
            tensor.dtype = {"ids": 3, "x": 1}.get(key, types_pb2.DT_STRING)
        if rng.random() < 0.7:
            tensor.tensor_shape.Clear()
            rank = {"ids": 2 - (name == "positive"), "x": 0}.get(key, 1)
            for _ in range(rank):
                tensor.tensor_shape.dim.add(size=rng.randrange(4))
        if rng.random() < 0.5:
            tensor.ClearField("tensor_content")
    return request


def mutated(data, rng):
    """Bytes of which a few are others, twice there, or gone."""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        end = at + rng.randrange(5)
        data[at:end] = rng.choice([b"", rng.randbytes(2), bytes(data[at:end]) * 2])
    return bytes(data)


def grpc_code(running, method, data):
    service = "ModelService" if method == "GetModelStatus" else "PredictionService"
    call = running.channel.unary_unary(f"/tensorflow.serving.{service}/{method}")
    try:
        call(data, timeout=20)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


REQUESTS = {
    "Predict": predict_pb2.PredictRequest,
    "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
}


@pytest.mark.parametrize("seed", range(2))
def test_grpc(running, seed):
    rng = random.Random(seed)
    seen = {}
    for i in range(600):
        method = rng.choice(["Predict", "Predict", *REQUESTS])
        if method == "Predict" and i % 4:
            request = predict_request(rng)
        else:
            request = fill(REQUESTS[method](), rng)
            if rng.random() < 0.7:
                request.model_spec.name = "toy"
        data = request.SerializeToString()
        if rng.random() < 0.2:
            data = mutated(data, rng)
        code, details = grpc_code(running, method, data)
        seen[code] = seen.get(code, 0) + 1
        allowed = CLIENT_ERRORS | {grpc.StatusCode.OK}
        assert code in allowed, (method, request, data, code, details)
    # Not all fall at the first hurdle.
    assert seen[grpc.StatusCode.OK] > 50 and seen[grpc.StatusCode.INVALID_ARGUMENT] > 50


def test_every_dtype(running):
    values = dict.fromkeys(["float_val", "double_val", "int64_val", "scomplex_val"], 1)
    # Of 16 bits and less: out of range. And two halves of a complex number.
    values |= {"uint32_val": 1, "uint64_val": 1, "dcomplex_val": 1, "bool_val": True}
    values |= {"int_val": -(2**31), "half_val": 2**31 - 1, "string_val": b"a"}
    for number in [*types_pb2.DataType.values(), 24, 28, 60, 99, 200, 2**31 - 1]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "toy"
        request.model_spec.signature_name = "positive"
        tensor = request.inputs["ids"]
        tensor.dtype = number
        tensor.tensor_shape.dim.add(size=1)
        for field, value in values.items():
            getattr(tensor, field).append(value)
        tensor.resource_handle_val.add()
        tensor.variant_val.add()
        code, details = grpc_code(running, "Predict", request.SerializeToString())
        fits = number == types_pb2.DT_INT32
        wanted = grpc.StatusCode.OK if fits else grpc.StatusCode.INVALID_ARGUMENT
        assert code is wanted, (number, details)


# === REST ===


def json_text(rng, depth=0):
    """Some JSON, as text."""
    kind = rng.randrange(12 if depth < 4 else 8)
    if kind < 4:
        return rng.choice(
            ['"a"', '"\\ud800"', '"\\u0000"', '"é"', '""', '{"b64": "YQ=="}']
        )
    if kind < 8:
        numbers = ["0", "1", "-1", "2.5", "1e400", "NaN", "-Infinity", "9" * 30, "true"]
        return rng.choice([*numbers, "null", "7" * 5000, "-0", "1e-400", '{"b64": 1}'])
    items = [json_text(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind < 11:
        return f"[{', '.join(items)}]"
    names = [*INPUTS, "b64", "\\udfff", "instances"]
    pairs = [f'"{rng.choice(names)}": {item}' for item in items]
    return f"{{{', '.join(pairs)}}}"


def body(rng):
    signatures = [*SIGNATURES, "\\ud800", "\\u0000", "x" * 5000, "no"]
    fields = []
    if rng.random() < 0.7:
        name = f'"{rng.choice(signatures)}"' if rng.random() < 0.9 else json_text(rng)
        fields.append(f'"signature_name": {name}')
    for key in ("instances", "inputs"):
        if rng.random() < 0.5:
            rows = rng.choice(
                ['["a", "b"]', "[[1, 2], [0, 3]]", "[1, -1]", json_text(rng)]
            )
            fields.append(f'"{key}": {rows}')
    if rng.random() < 0.1:
        fields.append(f'"{rng.choice(TEXTS[:3])}": {json_text(rng)}')
    if rng.random() < 0.02:
        fields.append(f'"inputs": {"[" * 5000}{"]" * 5000}')
    return f"{{{', '.join(fields)}}}".encode()


def path(rng):
    model = rng.choice(
        ["toy"] * 8 + ["half", "", "%ED%A0%80", "t%6Fy", "%", "x" * 3000]
    )
    digits = ["1", "0", "7", "01", str(2**63), "1" * 5000, "0" * 5000 + "1", "-1"]
    version = rng.choice(["", "", "", f"/versions/{rng.choice(digits)}", "/labels/%FF"])
    return f"/v1/models/{model}{version}"


@pytest.mark.parametrize("seed", range(2))
def test_rest(running, seed):
    rng = random.Random(seed)
    seen = {}
    connection = http.client.HTTPConnection(
        "127.0.0.1", running.server.port, timeout=20
    )
    for _ in range(1000):
        headers = {}
        if rng.random() < 0.8:
            method, url, data = "POST", f"{path(rng)}:predict", body(rng)
            if rng.random() < 0.2:
                data = mutated(data, rng)
            if rng.random() < 0.1:
                headers["Content-Encoding"] = "gzip"
                data = gzip.compress(data)
                data = mutated(data, rng) if rng.random() < 0.5 else data
        else:
            method = rng.choice(["GET", "GET", "DELETE", "HEAD", "PUT"])
            url, data = (
                path(rng) + rng.choice(["", "/metadata", ":predict", "?a"]),
                None,
            )
        connection.request(method, url, data, headers)
        response = connection.getresponse()
        text = response.read()
        assert response.status < 500, (method, url, data, text)
        seen[response.status] = seen.get(response.status, 0) + 1
        if method != "HEAD":
            answer = json.loads(text)
            assert response.status == 200 or list(answer) == ["error"]
    connection.close()
    assert seen[200] > 50 and seen[400] > 50 and seen[404] > 20
