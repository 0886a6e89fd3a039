"""The queue in front of the model, with functions in the model's place."""

import threading
import time

import numpy as np
import pytest

from adapters_tf.export.server.batcher import Batcher, Call
from adapters_tf.export.server.errors import Code, ServingError


@pytest.fixture
def batcher():
    """Makes batchers that are closed after the test."""
    made = []

    def make(max_rows=8, timeout=0.2, max_queue=100, threads=1, **limits):
        limits = {"max_bytes": 1 << 20} | limits
        made.append(Batcher(max_rows, timeout, max_queue, threads, **limits))
        return made[-1]

    yield make
    for one in made:
        one.close(5)


class Model:
    """Doubles, and keeps what it was given."""

    def __init__(self, key="double", run=None):
        self.batches = []
        self.merged_in_vain = 0
        self._run = run or (lambda inputs: {"y": inputs["x"] * 2})
        self.call = Call(key, self.run, self.not_mergeable)

    def run(self, inputs, limit):
        assert limit > 0
        self.batches.append(inputs["x"])
        return self._run(inputs)

    def not_mergeable(self):
        self.merged_in_vain += 1


def send(batcher, model, rows, mergeable=True, seconds=10.0):
    inputs = {"x": np.asarray(rows)}
    deadline = time.monotonic() + seconds
    return batcher.submit(model.call, inputs, mergeable, deadline)


def answer(future):
    return future.result(5)["y"].tolist()


def test_requests_are_merged_and_split(batcher):
    queue, model = batcher(), Model()
    futures = [send(queue, model, rows) for rows in ([1, 2], [3], [4, 5, 6])]
    assert [answer(f) for f in futures] == [[2, 4], [6], [8, 10, 12]]
    assert [batch.tolist() for batch in model.batches] == [[1, 2, 3, 4, 5, 6]]


def test_strings_are_merged(batcher):
    queue = batcher()
    model = Model(run=lambda inputs: {"y": inputs["x"]})
    texts = [np.array([b"a"], object), np.array([b"long\0", b""], object)]
    futures = [send(queue, model, text) for text in texts]
    assert [answer(f) for f in futures] == [[b"a"], [b"long\0", b""]]
    assert len(model.batches) == 1


def hold(queue):
    """Keep the only thread busy until the event that is returned is set."""
    free = threading.Event()
    busy = Model("busy", lambda inputs: free.wait(10) and {"y": inputs["x"]})
    send(queue, busy, [1])
    while not busy.batches:
        time.sleep(0.001)
    return free


def texts_of(model):
    return [[len(text) for text in batch] for batch in model.batches]


def test_texts_of_like_length_share_a_batch(batcher):
    queue = batcher(max_rows=3, timeout=0)
    model = Model(run=lambda inputs: {"y": inputs["x"]})
    free = hold(queue)
    lengths = [100, 900, 110, 10, 95, 1000, 105]
    texts = [np.array([b"x" * length], object) for length in lengths]
    futures = [send(queue, model, text) for text in texts]
    free.set()
    assert [answer(f) for f in futures] == [text.tolist() for text in texts]
    # The one that waited longest, and those nearest to it, at most `max_rows`.
    assert texts_of(model) == [[100, 95, 105], [900, 1000], [110], [10]]


def test_a_request_of_other_length_is_not_passed_over_for_ever(batcher):
    queue = batcher(max_rows=2, timeout=0)
    model = Model(run=lambda inputs: {"y": inputs["x"]})
    free = hold(queue)
    lengths = [100, 900, 100, 100, 100, 100]
    for length in lengths:
        last = send(queue, model, np.array([b"x" * length], object))
    free.set()
    answer(last)
    assert texts_of(model) == [[100, 100], [900], [100, 100], [100]]


def test_a_full_batch_does_not_wait(batcher):
    queue, model = batcher(max_rows=4, timeout=60), Model()
    start = time.monotonic()
    futures = [send(queue, model, [n, n]) for n in range(2)]
    assert [answer(f) for f in futures] == [[0, 0], [2, 2]]
    assert time.monotonic() - start < 5


def test_batches_end_at_max_rows(batcher):
    queue, model = batcher(max_rows=5), Model()
    futures = [send(queue, model, [n] * 2) for n in range(4)]
    assert [answer(f) for f in futures] == [[2 * n] * 2 for n in range(4)]
    assert [len(batch) for batch in model.batches] == [4, 4]


def test_batches_end_at_max_bytes(batcher):
    queue = batcher(max_bytes=250)
    model = Model(run=lambda inputs: {"y": inputs["x"]})
    # Each takes 8 bytes more. The last is larger than a batch.
    texts = [b"a" * 100, b"b" * 100, b"c" * 100, b"d" * 92, b"e" * 300]
    futures = [send(queue, model, np.array([text], object)) for text in texts]
    assert [answer(f) for f in futures] == [[text] for text in texts]
    assert sorted(len(batch) for batch in model.batches) == [1, 2, 2]


def test_a_request_larger_than_a_batch_runs_alone_at_once(batcher):
    queue, model = batcher(max_rows=4, timeout=60), Model()
    assert answer(send(queue, model, range(9))) == list(range(0, 18, 2))


def test_other_lengths_are_not_merged_nor_padded(batcher):
    queue, model = batcher(), Model()
    rows = [[[1, 2]], [[3, 4, 5]], [[6, 7]]]
    futures = [send(queue, model, row) for row in rows]
    assert [answer(f) for f in futures] == [[[2, 4]], [[6, 8, 10]], [[12, 14]]]
    assert sorted(batch.shape for batch in model.batches) == [(1, 3), (2, 2)]


def test_other_calls_are_not_merged(batcher):
    queue, one, two = batcher(), Model("one"), Model("two")
    futures = [send(queue, model, [1]) for model in (one, two, one)]
    assert [answer(f) for f in futures] == [[2]] * 3
    assert [len(batch) for batch in one.batches] == [2]
    assert [len(batch) for batch in two.batches] == [1]


@pytest.mark.parametrize("rows", [5, []])
def test_scalars_and_empty_requests_run_alone_at_once(batcher, rows):
    queue, model = batcher(timeout=60), Model()
    futures = [send(queue, model, rows) for _ in range(2)]
    assert [f.result(5)["y"].shape for f in futures] == [np.shape(rows)] * 2
    assert len(model.batches) == 2


def test_what_is_not_mergeable_runs_alone_at_once(batcher):
    queue, model = batcher(timeout=60), Model()
    futures = [send(queue, model, [1], mergeable=False) for _ in range(2)]
    assert [answer(f) for f in futures] == [[2]] * 2
    assert len(model.batches) == 2


def test_a_bad_request_fails_alone(batcher):
    def run(inputs):
        if (inputs["x"] < 0).any():
            raise ServingError(Code.INVALID_ARGUMENT, "negative")
        return {"y": inputs["x"]}

    queue, model = batcher(), Model(run=run)
    good, bad, also_good = (send(queue, model, [n]) for n in (1, -1, 2))
    assert answer(good) == [1] and answer(also_good) == [2]
    with pytest.raises(ServingError, match="negative"):
        bad.result(5)
    assert [len(batch) for batch in model.batches] == [3, 1, 1, 1]
    assert model.merged_in_vain == 0


def test_outputs_without_a_row_for_each_input_are_run_apart(batcher):
    queue = batcher()
    model = Model(run=lambda inputs: {"y": inputs["x"].sum(keepdims=True)})
    futures = [send(queue, model, rows) for rows in ([1, 2], [3, 4])]
    assert [answer(f) for f in futures] == [[3], [7]]
    assert model.merged_in_vain == 1


def test_the_queue_is_bounded(batcher):
    queue, model = batcher(timeout=60, max_queue=2), Model()
    for _ in range(2):
        send(queue, model, [1])
    with pytest.raises(ServingError, match="queue .* is full: 2") as error:
        send(queue, model, [1])
    assert error.value.code is Code.UNAVAILABLE


def test_no_request_is_taken_while_one_waits_too_long(batcher):
    queue, model = batcher(timeout=0), Model()
    free = hold(queue)
    queue._max_wait = 0.05
    # The one that runs waits no more.
    waiting = send(queue, model, [1])
    time.sleep(0.06)
    with pytest.raises(ServingError, match=r"has waited for \d.* Try again") as error:
        send(queue, model, [2])
    assert error.value.code is Code.UNAVAILABLE
    free.set()
    # That one is refused too, or it would hold up those after it.
    with pytest.raises(ServingError, match="Try again later"):
        waiting.result(5)
    assert model.batches == []
    queue._max_wait = 60
    assert answer(send(queue, model, [3])) == [6]


def test_waiting_for_others_to_join_is_not_waiting_too_long(batcher):
    queue, model = batcher(timeout=60, max_wait=0.01, max_rows=2), Model()
    first = send(queue, model, [1])
    time.sleep(0.02)
    assert answer(send(queue, model, [2])) == [4] and answer(first) == [2]


def test_what_comes_too_late_is_not_run(batcher):
    free = threading.Event()
    busy = Model("busy", lambda inputs: free.wait(5) and {"y": inputs["x"]})
    queue, model = batcher(timeout=0), Model()
    first = send(queue, busy, [1])
    late = send(queue, model, [1], seconds=0.01)
    cancelled = send(queue, model, [2])
    assert cancelled.cancel()
    time.sleep(0.02)
    free.set()
    assert answer(first) == [1]
    with pytest.raises(ServingError) as error:
        late.result(5)
    assert error.value.code is Code.DEADLINE_EXCEEDED
    assert model.batches == []


def test_close_runs_what_waits_and_refuses_more(batcher):
    queue, model = batcher(timeout=60), Model()
    future = send(queue, model, [1])
    assert queue.close(5)
    assert answer(future) == [2]
    with pytest.raises(ServingError, match="shutting down"):
        send(queue, model, [1])


def test_close_gives_up_in_time(batcher):
    free = threading.Event()
    queue = batcher(timeout=0)
    busy = Model(run=lambda inputs: free.wait(5) and {"y": inputs["x"]})
    first = send(queue, busy, [1])
    while not busy.batches:
        time.sleep(0.001)
    second = send(queue, busy, [2])
    assert not queue.close(0.05)
    assert second.cancelled()
    free.set()
    assert answer(first) == [1]
