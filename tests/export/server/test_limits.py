"""Limits on size, rows, number and time of requests."""

import gzip
import http.client
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import tensorflow as tf

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


def test_requests_beyond_max_pending_are_refused(serve, until):
    client = serve(max_pending=2, batch_timeout_ms=0)
    slow = {"seconds": [3.0]}
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(client.grpc, "slow", slow) for _ in range(2)]
        until(lambda: client.metric("adapters_tf_serve_pending_requests") == 2)
        status, answer = client.rest({"instances": ["a"]})
        assert status == 503 and "Try again later" in answer["error"]
        received, _ = code(lambda: client.grpc("text", {"text": ["a"]}))
        assert received is Code.UNAVAILABLE
        # What is no prediction is answered still.
        assert client.http("/healthz")[0] == client.http("/v1/models/toy")[0] == 200
        for future in running:
            assert future.result().outputs["took"].float_val[0] >= 3.0
    assert client.rest({"instances": ["a"]})[0] == 200
