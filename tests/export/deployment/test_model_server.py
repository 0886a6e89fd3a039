"""A real `tensorflow_model_server`, where one is on PATH, against the session."""

import json
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.export.deployment.write import default_examples, make_inputs
from adapters_tf.export.describe import read_servable_json
from adapters_tf.export.session import ServingSession, read_signatures
from adapters_tf.export.warmup import predict_request


def by_grpc(server, name, inputs):
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    with grpc.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_request(server.model_name, name, inputs)
        response = stub.Predict(request, timeout=60)
    return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}


def by_rest(server, name, inputs):
    instances = [
        {
            key: value[i].decode() if value.dtype == object else value[i].tolist()
            for key, value in inputs.items()
        }
        for i in range(len(next(iter(inputs.values()))))
    ]
    body = json.dumps({"signature_name": name, "instances": instances}).encode()
    url = f"{server.rest}/v1/models/{server.model_name}:predict"
    with urllib.request.urlopen(url, data=body, timeout=60) as response:
        rows = json.load(response)["predictions"]
    if not isinstance(rows[0], dict):  # The server drops the name of a sole output.
        (output,) = read_signatures(server.servable / "1")[name].outputs
        rows = [{output: row} for row in rows]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def assert_same(outputs, expected):
    assert set(outputs) == set(expected)
    for key, value in expected.items():
        if value.dtype == object:
            strings = np.char.decode(value.astype("S"), "utf-8")
            found = outputs[key]
            if found.dtype == object:
                found = np.char.decode(found.astype("S"), "utf-8")
            assert found.tolist() == strings.tolist()
        else:
            np.testing.assert_allclose(outputs[key], value, atol=1e-5)


@pytest.mark.parametrize("ask", [by_grpc, by_rest])
def test_the_server_answers_like_the_session(model_server, ask):
    version = model_server.servable / "1"
    examples = default_examples(read_servable_json(version))
    with ServingSession(version) as session:
        for name, signature in session.signatures.items():
            inputs = make_inputs(name, signature, examples, 5, 16)
            expected = session.run(name, inputs)
            assert_same(ask(model_server, name, inputs), expected)


def test_the_server_read_the_warmup_and_the_monitoring_config(model_server):
    log = model_server.log.read_text()
    assert "Finished reading warmup data" in log
    url = f"{model_server.rest}/monitoring/prometheus/metrics"
    with urllib.request.urlopen(url, timeout=60) as response:
        assert b"# TYPE" in response.read()


def test_the_comparison_works_on_the_stand_in(stand_in, saved_servable):
    # Without the real server the functions above would not be run at all.
    stand_in.servable = saved_servable
    inputs = {
        "text": np.array(["a good film", "é"], object),
        "text_pair": np.array(["", "the film"], object),
        "task": np.array(["sentiment", "no such"], object),
    }
    inputs = {
        key: np.char.encode(v.astype(str)).astype(object) for key, v in inputs.items()
    }
    with ServingSession(saved_servable / "1") as session:
        expected = session.run("mixed_text", inputs)
    for ask in (by_grpc, by_rest):
        assert_same(ask(stand_in, "mixed_text", inputs), expected)
        other = expected | {"score": expected["score"] + 1e-3}
        with pytest.raises(AssertionError):
            assert_same(ask(stand_in, "mixed_text", inputs), other)
