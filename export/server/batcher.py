"""Run requests to the same signature together, in batches."""

import dataclasses
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future

import numpy as np

from adapters_tf.export.server.errors import (
    Code,
    ServingError,
    as_serving_error,
    timed_out,
)

Arrays = dict[str, np.ndarray]
log = logging.getLogger(__name__)

# Texts share a batch if the longest has at most 1.5 times the bytes of the shortest,
# with what any text costs counted as this many bytes.
_ALIKE = 1.5
_BYTES_OF_ANY_TEXT = 32


@dataclasses.dataclass(frozen=True)
class Call:
    """A function that a batch of requests calls.

    Args:
        key: Requests may share a batch if the keys of their calls are equal.
        run: Takes the inputs and a time limit in seconds, and returns the outputs.
        not_mergeable: Called when the outputs of a batch do not have one row for each
            input row. The caller then stops sending such requests as mergeable.
    """

    key: Hashable
    run: Callable[[Arrays, float], Arrays] = dataclasses.field(compare=False)
    not_mergeable: Callable[[], None] = dataclasses.field(compare=False)


@dataclasses.dataclass
class _Task:
    call: Call
    inputs: Arrays
    rows: int
    size: int
    longest: int
    deadline: float
    due: float
    queued: float
    future: Future


class Batcher:
    """A queue, and threads that run its requests in batches.

    It merges requests only if all their inputs agree in every dimension but the first.
    It never pads: padding a mask with anything but zeros, as TensorFlow Serving's
    `pad_variable_length_inputs` does, changes the answers. A model pads texts to the
    longest of a batch, so a batch takes texts of like length: the request that waited
    longest, and those like it.

    Args:
        max_rows: Maximum rows of a batch. A larger request runs alone.
        timeout: Seconds that a request waits for others to join it.
        max_queue: Requests that may wait; the batcher refuses more.
        threads: Batches that run at the same time.
        observe: Called for each batch with its rows, its requests, and the seconds
            that its first request waited.
        max_bytes: Maximum bytes of the inputs of a batch. A larger request runs alone.
        max_wait: Seconds. The batcher refuses requests while another one has waited
            longer than this for a thread, and one that has itself.
    """

    def __init__(
        self,
        max_rows: int,
        timeout: float,
        max_queue: int,
        threads: int,
        observe: Callable[[int, int, float], None] = lambda *_: None,
        max_bytes: int = 1 << 24,
        max_wait: float = math.inf,
    ) -> None:
        self._max_rows = max_rows
        self._timeout = timeout
        self._max_queue = max_queue
        self._observe = observe
        self._max_bytes = max_bytes
        self._max_wait = max_wait
        self._queues: dict[Hashable, deque[_Task]] = {}
        self._waiting = 0
        self._closing = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{i}", daemon=True)
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, call: Call, inputs: Arrays, mergeable: bool, deadline: float
    ) -> Future:
        """Queue a request.

        Args:
            call: What to run.
            inputs: Its inputs.
            mergeable: Whether it may share a batch. It does so only if all its inputs
                have the same first dimension, above zero.
            deadline: By `time.monotonic`; after it, the request does not start.

        Returns:
            A future of the outputs. Cancelling it takes it from the queue.

        Raises:
            ServingError: if the queue is full, too slow or closed.
        """
        rows = {array.shape[0] if array.ndim else 0 for array in inputs.values()}
        count = max(rows, default=0)
        key: Hashable = object()
        size = sum(map(_bytes, inputs.values()))
        fits = 0 < count < self._max_rows and size < self._max_bytes
        if mergeable and len(rows) == 1 and fits:
            shapes = tuple(inputs[name].shape[1:] for name in sorted(inputs))
            key = (call.key, shapes)
            wait = self._timeout
        else:
            wait = 0.0
        now = time.monotonic()
        longest = max(map(_longest, inputs.values()), default=0)
        task = _Task(
            call, inputs, count, size, longest, deadline, now + wait, now, Future()
        )
        with self._changed:
            if self._closing:
                raise ServingError(Code.UNAVAILABLE, "The server is shutting down.")
            if self._waiting >= self._max_queue:
                raise ServingError(
                    Code.UNAVAILABLE,
                    "The batch scheduling queue to which this task was submitted is "
                    f"full: {self._waiting} requests wait. Try again later.",
                )
            dues = (tasks[0].due for tasks in self._queues.values())
            waited = now - min(dues, default=now)
            if waited > self._max_wait:
                raise _waited(waited)
            self._waiting += 1
            self._queues.setdefault(key, deque()).append(task)
            self._changed.notify_all()
        return task.future

    def close(self, seconds: float) -> bool:
        """Reject new requests, run the waiting ones, and end the threads.

        Args:
            seconds: How long to wait before cancelling the requests that still wait.

        Returns:
            Whether all requests ran.
        """
        end = time.monotonic() + seconds
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        with self._changed:
            for queue in self._queues.values():
                for task in queue:
                    task.future.cancel()
        return not any(thread.is_alive() for thread in self._threads)

    def _ready(self, tasks: deque[_Task], now: float) -> bool:
        if self._closing or tasks[0].due <= now:
            return True
        return (
            sum(task.rows for task in tasks) >= self._max_rows
            or sum(task.size for task in tasks) >= self._max_bytes
        )

    def _take(self) -> list[_Task] | None:
        """Wait for the next batch; `None` when the batcher is closed and empty."""
        with self._changed:
            while True:
                now = time.monotonic()
                ready = [k for k, q in self._queues.items() if self._ready(q, now)]
                if ready:
                    return self._pop(min(ready, key=lambda k: self._queues[k][0].due))
                if self._closing:
                    return None
                dues = [tasks[0].due for tasks in self._queues.values()]
                self._changed.wait(min(dues) - now if dues else None)

    def _pop(self, key: Hashable) -> list[_Task]:
        queue = self._queues[key]
        batch = self._choose(queue)
        chosen = set(map(id, batch))
        left = deque(task for task in queue if id(task) not in chosen)
        if left:
            self._queues[key] = left
        else:
            del self._queues[key]
        self._waiting -= len(batch)
        return batch

    def _choose(self, queue: deque[_Task]) -> list[_Task]:
        """The first of the queue and others, those of the nearest lengths first."""
        first = queue[0]
        # The sort is stable: equals stay in the order in which they came.
        order = sorted(queue, key=lambda task: abs(task.longest - first.longest))
        batch, rows, size = [first], first.rows, first.size
        low = high = first.longest + _BYTES_OF_ANY_TEXT
        for task in order:
            length = task.longest + _BYTES_OF_ANY_TEXT
            low_with, high_with = min(low, length), max(high, length)
            if (
                task is first
                or rows + task.rows > self._max_rows
                or size + task.size > self._max_bytes
                or high_with > _ALIKE * low_with
            ):
                continue
            batch.append(task)
            rows, size = rows + task.rows, size + task.size
            low, high = low_with, high_with
        return batch

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            self._answer(batch)
            # It would keep its version in memory until the next one comes.
            del batch

    def _answer(self, batch: list[_Task]) -> None:
        live = [task for task in batch if _begin(task, self._max_wait)]
        if not live:
            return
        rows = sum(task.rows for task in live)
        self._observe(rows, len(live), time.monotonic() - live[0].queued)
        try:
            _run(live)
        except Exception as error:  # The thread must survive.
            log.exception("a batch failed")
            for task in live:
                if not task.future.done():
                    task.future.set_exception(as_serving_error(error))


def _bytes(array: np.ndarray) -> int:
    """Return the bytes of an array and of its strings."""
    texts = sum(map(len, array.flat)) if array.dtype == object else 0
    return array.nbytes + texts


def _longest(array: np.ndarray) -> int:
    """Return the bytes of the longest string of an array."""
    return max(map(len, array.flat), default=0) if array.dtype == object else 0


def _waited(seconds: float) -> ServingError:
    return ServingError(
        Code.UNAVAILABLE,
        "The batch scheduling queue to which this task was submitted is full: a "
        f"request has waited for {seconds:.1f} s. Try again later.",
    )


def _begin(task: _Task, max_wait: float) -> bool:
    """Whether a client still waits for the task, and not too long already."""
    if not task.future.set_running_or_notify_cancel():
        return False
    now = time.monotonic()
    if task.deadline <= now:
        task.future.set_exception(timed_out())
        return False
    if now - task.due > max_wait:
        # Others are served in time instead, rather than all too late.
        task.future.set_exception(_waited(now - task.due))
        return False
    return True


def _run(tasks: list[_Task]) -> None:
    """Run tasks together and answer each."""
    call = tasks[0].call
    # Run as long as one client waits.
    limit = max(task.deadline for task in tasks) - time.monotonic()
    try:
        if limit <= 0:
            raise timed_out()
        if len(tasks) == 1:
            tasks[0].future.set_result(call.run(tasks[0].inputs, limit))
            return
        merged = {
            name: np.concatenate([task.inputs[name] for task in tasks])
            for name in tasks[0].inputs
        }
        answers = _split(call.run(merged, limit), [task.rows for task in tasks])
    except Exception as error:
        failure = as_serving_error(error)
        if len(tasks) == 1 or failure.code is Code.DEADLINE_EXCEEDED:
            for task in tasks:
                task.future.set_exception(failure)
            return
        # The rows of one client must not fail the requests of others.
        answers = None
    if answers is None:
        if _all_succeed(tasks):
            call.not_mergeable()
        return
    for task, answer in zip(tasks, answers, strict=True):
        task.future.set_result(answer)


def _all_succeed(tasks: list[_Task]) -> bool:
    """Run each task alone, and return whether all succeeded."""
    for task in tasks:
        _run([task])
    return all(task.future.exception() is None for task in tasks)


def _split(outputs: Arrays, rows: list[int]) -> list[Arrays] | None:
    """Split outputs by request; `None` if an output lacks a row per input row."""
    if any(not a.ndim or a.shape[0] != sum(rows) for a in outputs.values()):
        return None
    ends = np.cumsum(rows)
    return [
        {name: array[end - n : end] for name, array in outputs.items()}
        for n, end in zip(rows, ends, strict=True)
    ]
