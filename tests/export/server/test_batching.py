"""Concurrent requests to a real server share batches."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

ROWS = "adapters_tf_serve_batch_rows_sum"
BATCHES = "adapters_tf_serve_batch_rows_count"
REQUESTS = "adapters_tf_serve_batch_requests_sum"


@pytest.fixture
def client(serve):
    # Long enough for every thread to come, even on a busy machine.
    return serve(batch_timeout_ms=500)


def at_once(functions):
    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(f) for f in functions]]


def grpc_texts(client, texts):
    return lambda: list(client.grpc("text", {"text": texts}).outputs["score"].float_val)


def rest_texts(client, texts):
    def call():
        status, answer = client.rest({"signature_name": "text", "instances": texts})
        assert status == 200
        return [row["score"] for row in answer["predictions"]]

    return call


def test_concurrent_requests_of_both_protocols_share_a_batch(client):
    # The one thing that differs is the filter of outputs, which none has.
    texts = [["x" * (i + 1)] * (i % 3 + 1) for i in range(8)]
    calls = [(grpc_texts, rest_texts)[i % 2](client, t) for i, t in enumerate(texts)]
    answers = at_once(calls)
    assert answers == [[float(len(t[0]))] * len(t) for t in texts]
    assert client.metric(REQUESTS) == 8
    assert client.metric(ROWS) == sum(map(len, texts))
    assert client.metric(BATCHES) < 8 / 2


def test_token_requests_of_other_lengths_do_not(client):
    def ids(length):
        row = {"ids": [[1] * length]}
        return lambda: client.grpc("ids", row).outputs["length"].int_val[0]

    lengths = [3, 5, 3, 5]
    # Padding either with its first token would lengthen it.
    assert at_once([ids(length) for length in lengths]) == lengths
    assert 2 <= client.metric(BATCHES) < 4


def test_one_clients_bad_row_fails_no_other(client):
    def ids(value):
        return lambda: client.grpc("ids", {"ids": [[value]]}).outputs["sum"].int_val[0]

    def bad():
        with pytest.raises(grpc.RpcError) as error:
            ids(100)()
        return error.value.code()

    answers = at_once([ids(1), bad, ids(2), ids(3)])
    assert answers == [1, grpc.StatusCode.INVALID_ARGUMENT, 2, 3]
    assert client.metric(BATCHES) < 4


def test_a_signature_whose_rows_cannot_be_told_apart(client):
    def positive(values):
        def call():
            response = client.grpc("positive", {"ids": values})
            return list(response.outputs["positive"].int_val)

        return call

    calls = [positive([1, -1, 2]), positive([-1, 3])]
    assert at_once(calls) == [[1, 2], [3]]
    # From now on each runs alone.
    before = client.metric(BATCHES)
    assert at_once(calls) == [[1, 2], [3]]
    assert client.metric(BATCHES) == before + 2
