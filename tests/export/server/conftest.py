"""Toy servables, servers over them, and the stock clients."""

import json
import os
import shutil
import time
import urllib.error
import urllib.request

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from adapters_tf.export.server.grpc_service import TensorProto
from adapters_tf.export.server.local_server import LocalServer
from adapters_tf.export.server.options import ServerOptions


def strings(name):
    return tf.TensorSpec([None], tf.string, name)


class Toy(tf.Module):
    """A few signatures; `scale` tells versions apart."""

    def __init__(self, scale):
        super().__init__()
        self.scale = tf.Variable(float(scale))

    @tf.function(input_signature=[strings("text")])
    def text(self, text):
        length = tf.strings.length(text, unit="UTF8_CHAR")
        return {
            "upper": tf.strings.upper(text, encoding="utf-8"),
            "score": tf.cast(length, tf.float32) * self.scale,
            "pair": tf.stack([text, text], 1),
        }

    @tf.function(input_signature=[strings("text"), strings("text_pair")])
    def pair(self, text, text_pair):
        return {"joined": tf.strings.join([text, text_pair], "+")}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, "ids")])
    def ids(self, ids):
        tf.debugging.assert_less(ids, 100, "ids must be below 100")
        mask = tf.cast(ids > 0, tf.int32)
        return {"sum": tf.reduce_sum(ids, 1), "length": tf.reduce_sum(mask, 1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "ids")])
    def positive(self, ids):
        # The rows of the output are not those of the input, which its declared
        # shape does not tell.
        return {"positive": tf.boolean_mask(ids, ids > 0)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "seconds")])
    def slow(self, seconds):
        start = tf.timestamp()
        end = start + tf.cast(tf.reduce_max(seconds), tf.float64)
        now = tf.while_loop(lambda t: t < end, lambda t: [tf.timestamp()], [start])
        took = tf.cast(now[0] - start, tf.float32)
        return {"took": tf.zeros_like(seconds) + took}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
    def scalar(self, x):
        return {"y": x * self.scale, "bits_bytes": tf.io.encode_base64("\x00")}


def signatures(toy):
    names = ("text", "pair", "ids", "positive", "slow", "scalar")
    return {name: getattr(toy, name) for name in names} | {"serving_default": toy.text}


@pytest.fixture(scope="session")
def toys(shared_artefact):
    """Saved toys by their scale, 1 and 2."""

    def save(root):
        for scale in (1, 2):
            toy = Toy(scale)
            tf.saved_model.save(toy, str(root / str(scale)), signatures(toy))

    root = shared_artefact("toys", save)
    return {scale: root / str(scale) for scale in (1, 2)}


@pytest.fixture
def add_version(toys):
    """Puts a toy into a servable as a version, at once."""

    def add(servable, version, scale=1):
        temporary = servable / f".{version}.tmp"
        shutil.copytree(toys[scale], temporary)
        os.rename(temporary, servable / str(version))

    return add


@pytest.fixture
def servable(tmp_path, add_version):
    """A servable with version 1, of scale 1."""
    path = tmp_path / "toy"
    path.mkdir()
    add_version(path, 1)
    return path


class Client:
    """The stock gRPC stubs and a plain HTTP client of one server."""

    def __init__(self, server):
        self.server = server
        self.channel = grpc.insecure_channel(
            f"127.0.0.1:{server.grpc_port}",
            options=[("grpc.max_send_message_length", -1)],
        )
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(
            self.channel
        )
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def url(self, path):
        return f"http://127.0.0.1:{self.server.port}{path}"

    def http(self, path, body=None, headers=(), method=None):
        """Status and parsed JSON (or text) of a request; a POST with a body."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        request = urllib.request.Request(
            self.url(path),
            data.encode() if isinstance(data, str) else data,
            dict(headers),
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def rest(self, body, suffix=":predict"):
        """Status and JSON of a Predict request by REST."""
        return self.http(f"/v1/models/toy{suffix}", body)

    def grpc(self, signature, inputs, timeout=20, version=None, outputs=()):
        """The response to a Predict request by gRPC."""
        request = predict_pb2.PredictRequest(output_filter=outputs)
        request.model_spec.name = "toy"
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        for name, value in inputs.items():
            if not isinstance(value, TensorProto):
                value = tf.make_tensor_proto(value)
            request.inputs[name].CopyFrom(value)
        return self.predictions.Predict(request, timeout)

    def metric(self, name):
        """The value of one sample."""
        _, page = self.http("/metrics")
        for line in page.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[-1])
        raise AssertionError(f"{name} is not in:\n{page}")


@pytest.fixture
def serve(servable):
    """Starts servers that are stopped after the test."""
    clients = []

    def start(**options):
        settings = {"port": 0, "grpc_port": 0, "poll_seconds": 0.05} | options
        settings.setdefault("servable", str(servable))
        client = Client(LocalServer(ServerOptions(**settings)))
        clients.append(client)
        client.server.start()
        return client

    yield start
    for client in clients:
        client.channel.close()
        client.server.stop(5)


@pytest.fixture(scope="session")
def running(toys, tmp_path_factory):
    """One server for the tests that change nothing."""
    path = tmp_path_factory.mktemp("running") / "toy"
    shutil.copytree(toys[1], path / "1")
    with LocalServer(ServerOptions(str(path), port=0, grpc_port=0)) as server:
        client = Client(server)
        yield client
        client.channel.close()


@pytest.fixture
def until():
    """Waits for a condition, and fails when it does not come."""

    def wait(condition, seconds=10.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not come about"
            time.sleep(0.01)

    return wait
