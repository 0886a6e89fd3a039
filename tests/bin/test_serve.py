"""adapters-tf-serve in a process of its own, and its errors in this one."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from adapters_tf.bin import serve

STARTED = re.compile(
    r"slow version 5: http://127\.0\.0\.1:(\d+)/v1/models/slow "
    r"and gRPC on 127\.0\.0\.1:(\d+)"
)


class Slow(tf.Module):
    """Answers after as many seconds as it is told to take."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "seconds")])
    def __call__(self, seconds):
        start = tf.timestamp()
        end = start + tf.cast(tf.reduce_max(seconds), tf.float64)
        now = tf.while_loop(lambda t: t < end, lambda t: [tf.timestamp()], [start])
        took = tf.cast(now[0] - start, tf.float32)
        return {"took": tf.zeros_like(seconds) + took}


@pytest.fixture(scope="module")
def servable(tmp_path_factory):
    """A servable with one version, 5."""
    path = tmp_path_factory.mktemp("servables") / "slow"
    model = Slow()
    signatures = {"serving_default": model.__call__}
    tf.saved_model.save(model, str(path / "5"), signatures=signatures)
    return path


@pytest.fixture
def process(servable, tmp_path):
    """A started server: its process, ports, and the file of its output."""
    command = [sys.executable, "-P", "-m", "adapters_tf.bin.serve"]
    flags = [f"--servable={servable}", "--port=0", "--grpc_port=0"]
    output = tmp_path / "output.txt"
    with output.open("w") as file:
        server = subprocess.Popen([*command, *flags], stdout=file, stderr=file)
    try:
        end = time.monotonic() + 120
        while not (match := STARTED.search(output.read_text())):
            assert server.poll() is None and time.monotonic() < end, output.read_text()
            time.sleep(0.05)
        yield server, int(match[1]), int(match[2]), output
    finally:
        server.kill()
        server.wait()


def rest(port, seconds):
    body = json.dumps({"instances": [seconds]}).encode()
    url = f"http://127.0.0.1:{port}/v1/models/slow:predict"
    with urllib.request.urlopen(url, body, timeout=30) as response:
        return json.loads(response.read())["predictions"]


def by_grpc(port, seconds):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "slow"
    request.inputs["seconds"].CopyFrom(tf.make_tensor_proto([seconds], tf.float32))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return stub.Predict(request, 30)


def until(condition):
    """Wait for a condition, and fail when it does not come."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def pending(port):
    url = f"http://127.0.0.1:{port}/monitoring/prometheus/metrics"
    with urllib.request.urlopen(url, timeout=30) as response:
        page = response.read().decode()
    return float(re.search(r"^adapters_tf_serve_pending_requests (.*)$", page, re.M)[1])


def test_serves_and_drains_on_sigterm(process):
    server, port, grpc_port, output = process
    assert len(rest(port, 0.0)) == 1
    assert by_grpc(grpc_port, 0.0).model_spec.version.value == 5
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(rest, port, 2.0), pool.submit(by_grpc, grpc_port, 2.0)]
        until(lambda: pending(port) == 2)
        server.send_signal(signal.SIGTERM)
        assert answers[0].result()[0] >= 2.0
        assert answers[1].result().outputs["took"].float_val[0] >= 2.0
    assert server.wait(20) == 0
    text = output.read_text()
    assert "The production engine is TensorFlow Serving" in text
    assert "pending requests finish" in text
    assert "Traceback" not in text


def test_a_second_signal_ends_it_at_once(process):
    server, port, _, output = process
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(rest, port, 20.0)
        until(lambda: pending(port) == 1)
        server.send_signal(signal.SIGINT)
        until(lambda: "shutting down" in output.read_text())
        assert server.poll() is None
        server.send_signal(signal.SIGINT)
        assert server.wait(5) == -signal.SIGINT
        with pytest.raises(OSError):
            answer.result()


def call(*args):
    """Run the program in this process; returns its exit status."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", ["adapters-tf-serve", *args])
        with pytest.raises(SystemExit) as stop:
            serve.cli()
    return stop.value.code


def test_help(capsys):
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) < 40
    assert max(map(len, text.splitlines())) <= 88
    assert "The production engine is TensorFlow Serving" in text
    for flag in ("servable", "port", "grpc_port", "host", "max_rows", "flagfile"):
        assert f"\n  --{flag} " in text
    for default in ("[127.0.0.1]", "[8501]", "[8500]"):
        assert default in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--servable is needed"),
        (["--servable=/no/such"], "must be a directory. '/no/such' is not there"),
        (["--servable={file}"], "is a file"),
        (["--servable={empty}"], "must have versions"),
        (["--servable={servable}/5"], "give the directory that holds it"),
        (["--servable={servable}", "--port={taken}"], "port must be free"),
        (["--servable={servable}", "--grpc_port={taken}"], "grpc_port must be free"),
        (["--servable={servable}", "--max_rows=0"], "max_rows must be 1 or more"),
        (["--servable={servable}", "--model_name=a/b"], "model_name must have no"),
        (["--servable={servable}", "--prot=1"], "prot"),
    ],
)
def test_bad_flags_are_refused(servable, tmp_path, capsys, flags, message):
    file = tmp_path / "file"
    file.touch()
    empty = tmp_path / "empty"
    empty.mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        places = {"file": file, "empty": empty, "servable": servable}
        places["taken"] = taken.getsockname()[1]
        free = [
            f"--{name}=0"
            for name in ("port", "grpc_port")
            if not any(flag.startswith(f"--{name}=") for flag in flags)
        ]
        status = call(*(flag.format(**places) for flag in flags), *free)
    error = capsys.readouterr().err
    assert status == 2 and message in error
    assert "Traceback" not in error
