"""Limits on size, rows, number and time of requests."""

import contextlib
import gzip
import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import tensorflow as tf

from adapters_tf.export.session import ServingSession

Code = grpc.StatusCode


def code(call):
    """The status code and text that a gRPC call fails with."""
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code(), error.value.details()


def test_requests_over_the_size_are_refused(serve):
    client = serve(max_request_mb=0.5)
    text = "x" * 400_000
    assert client.rest({"instances": [text]})[0] == 200
    assert client.grpc("text", {"text": [text]}).outputs["score"].float_val[0] == 4e5
    for size in (600_000, 3_000_000, 12_000_000):
        status, answer = client.rest({"instances": ["x" * size]})
        assert status == 413 and "at most 524288 bytes" in answer["error"]
        received, text = code(lambda s=size: client.grpc("text", {"text": ["x" * s]}))
        assert received is Code.RESOURCE_EXHAUSTED and "larger than max" in text
    # And the server is none the worse for it.
    assert client.rest({"instances": ["a"]})[0] == 200


def test_a_body_that_does_not_state_its_size(serve):
    client = serve(max_request_mb=0.1)

    def chunks():
        for _ in range(50):
            yield b"x" * 10_000

    connection = http.client.HTTPConnection("127.0.0.1", client.server.port)
    connection.request("POST", "/v1/models/toy:predict", chunks(), encode_chunked=True)
    assert connection.getresponse().status == 413


def test_small_gzip_that_unpacks_to_a_large_body(serve):
    client = serve(max_request_mb=0.5)
    body = gzip.compress(b'{"instances": ["' + b"x" * 10_000_000 + b'"]}')
    headers = {"Content-Encoding": "gzip"}
    status, answer = client.http("/v1/models/toy:predict", body, headers)
    assert status == 413 and "at most 524288 bytes" in answer["error"]


def test_requests_of_too_many_rows_are_refused(serve):
    client = serve(max_rows=10)
    assert client.rest({"instances": ["a"] * 10})[0] == 200
    assert len(client.grpc("text", {"text": ["a"] * 10}).outputs["score"].float_val)
    message = "at most 10 rows. Received: 11"
    for key in ("instances", "inputs"):
        status, answer = client.rest({key: ["a"] * 11})
        assert status == 400 and message in answer["error"]
    received, text = code(lambda: client.grpc("text", {"text": ["a"] * 11}))
    assert received is Code.INVALID_ARGUMENT and message in text
    # One value that stands for many rows.
    proto = tf.make_tensor_proto([1], tf.int32)
    proto.tensor_shape.dim[0].size = 1 << 30
    received, text = code(lambda: client.grpc("positive", {"ids": proto}))
    assert received is Code.INVALID_ARGUMENT and "at most 10 rows" in text


def test_requests_end_at_the_servers_timeout(serve):
    client = serve(request_timeout=1)
    body = {"signature_name": "slow", "instances": [20.0]}
    start = time.monotonic()
    status, answer = client.rest(body)
    assert status == 504 and "deadline" in answer["error"]
    received, _ = code(lambda: client.grpc("slow", {"seconds": [20.0]}))
    assert received is Code.DEADLINE_EXCEEDED
    assert time.monotonic() - start < 10
    # The runs themselves were stopped as well: both threads are free again.
    client.grpc("slow", {"seconds": [0.01]})
    client.grpc("slow", {"seconds": [0.01]})
    count = ':tensorflow:serving:request_count{model_name="toy",status='
    assert client.metric(f'{count}"DEADLINE_EXCEEDED"}}') == 2


def test_requests_end_at_the_clients_timeout(serve, until):
    client = serve(batch_threads=1)
    received, _ = code(lambda: client.grpc("slow", {"seconds": [20.0]}, timeout=0.2))
    assert received is Code.DEADLINE_EXCEEDED
    until(lambda: client.metric("adapters_tf_serve_pending_requests") == 0)
    client.grpc("slow", {"seconds": [0.01]}, timeout=5)


def test_a_slow_body_does_not_hold_its_place_for_ever(serve):
    client = serve(request_timeout=0.2)
    head = (
        b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", client.server.port), 5) as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 504")


def test_slow_bodies_hold_up_no_other(serve):
    client = serve(max_pending=2)
    address = ("127.0.0.1", client.server.port)
    head = b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(socket.create_connection(address, 5))
            connection.sendall(head + b"\r\n{")
        for _ in range(3):
            assert client.rest({"instances": ["a"]})[0] == 200


def test_bodies_that_do_not_fit_into_memory_are_refused(serve):
    client = serve(max_pending=1, max_request_mb=0.1)
    address = ("127.0.0.1", client.server.port)
    head = (
        b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
    )
    with socket.create_connection(address, 5) as first:
        # The server asks for the body: it reads.
        first.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert first.recv(100).startswith(b"HTTP/1.1 100")
        first.sendall(b"x" * 99_999)
        until_refused = time.monotonic() + 10
        while client.rest({"instances": ["x" * 50_000]})[0] != 503:
            assert time.monotonic() < until_refused
        first.sendall(b"x")
        assert first.recv(100).startswith(b"HTTP/1.1 400")
    assert client.rest({"instances": ["x" * 50_000]})[0] == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nX: "])
def test_connections_without_a_request_are_closed(serve, sent):
    client = serve(request_timeout=0.3)
    with socket.create_connection(("127.0.0.1", client.server.port), 5) as connection:
        connection.sendall(sent)
        assert connection.recv(100) == b""


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(serve):
    client = serve(request_timeout=0.5)
    with socket.create_connection(("127.0.0.1", client.server.port), 5) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        end = time.monotonic() + 10
        with pytest.raises(ConnectionError):
            while time.monotonic() < end:
                connection.sendall(b"G")
                time.sleep(0.02)


def test_answers_that_are_not_read_are_given_up(serve, until):
    client = serve(request_timeout=0.5)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", client.server.port))
        body = json.dumps({"instances": ["x" * 4_000_000]})
        head = f"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Length: {len(body)}"
        connection.sendall(f"{head}\r\nHost: x\r\n\r\n{body}".encode())
        server = client.server._http._server
        until(lambda: server.server_state.total_requests == 1)
        until(lambda: not server.server_state.connections)


def test_calls_without_a_message_hold_up_no_other(serve):
    client = serve(max_pending=2, request_timeout=2)
    method = "/tensorflow.serving.PredictionService/Predict"
    never = threading.Event()

    def no_message():
        never.wait(20)
        yield from ()

    calls = [
        client.channel.stream_unary(method).future(no_message()) for _ in range(30)
    ]
    assert client.grpc("text", {"text": ["a"]}, timeout=1).outputs["score"]
    for call in calls:
        assert call.exception(10).code() is Code.CANCELLED
    never.set()


def test_an_output_filter_computes_nothing_anew(serve, monkeypatch):
    client = serve()
    computed = []
    compute = ServingSession.compute

    def spy(self, signature, inputs, outputs, timeout=None):
        computed.append(tuple(outputs))
        return compute(self, signature, inputs, outputs, timeout)

    monkeypatch.setattr(ServingSession, "compute", spy)
    every = ("pair", "score", "upper")
    for outputs in (("upper",), ("score", "pair"), every, ()):
        response = client.grpc("text", {"text": ["ab"]}, outputs=outputs)
        assert set(response.outputs) == set(outputs or every)
    assert computed == [every] * 4


def test_requests_beyond_max_pending_are_refused(serve, until):
    client = serve(max_pending=2, batch_timeout_ms=0)
    slow = {"seconds": [3.0]}
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(client.grpc, "slow", slow) for _ in range(2)]
        until(lambda: client.metric("adapters_tf_serve_pending_requests") == 2)
        status, answer = client.rest({"instances": ["a"]})
        assert status == 503 and "Try again later" in answer["error"]
        # Such a connection can be used again.
        again = http.client.HTTPConnection("127.0.0.1", client.server.port)
        for _ in range(2):
            again.request("POST", "/v1/models/toy:predict", b'{"instances": ["a"]}')
            refused = again.getresponse()
            assert refused.status == 503 and not refused.will_close and refused.read()
        again.close()
        received, _ = code(lambda: client.grpc("text", {"text": ["a"]}))
        assert received is Code.UNAVAILABLE
        # What is no prediction is answered still.
        assert client.http("/healthz")[0] == client.http("/v1/models/toy")[0] == 200
        for future in running:
            assert future.result().outputs["took"].float_val[0] >= 3.0
    assert client.rest({"instances": ["a"]})[0] == 200
