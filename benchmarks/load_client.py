"""Send requests at planned times, whatever the server does: an open-loop client.

It runs in a process of its own, `run.py --child load_client`, and knows nothing of
the server but its address.
"""

import http.client
import json
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from adapters_tf.errors import UserError
from benchmarks.processes import serve

GRPC, REST = "grpc", "rest"
PROTOCOLS = (GRPC, REST)
OK = "OK"
_SIGNATURE = "mixed_text"
# Connections that may wait for an answer at once; each has a thread, once needed.
_CONNECTIONS = 1024


# === What is sent, and when ===


class Planned(NamedTuple):
    """A request of a plan.

    Attributes:
        at: Seconds after the beginning.
        task: Index of its task.
        text: Index of its text.
    """

    at: float
    task: int
    text: int


def plan_requests(
    rate: float, seconds: float, tasks: int, texts: int, seed: int
) -> list[Planned]:
    """Poisson arrivals, each of a random text for a task of Zipf's law.

    The task of rank r is asked for in proportion to 1 / r. Ranks are spread over the
    tasks at random, the same way for all rates and seeds.

    Args:
        rate: Requests per second.
        seconds: Length of the plan.
        tasks: Number of tasks.
        texts: Number of texts.
        seed: The same one gives the same plan.
    """
    random = np.random.default_rng(seed)
    arrivals = np.cumsum(random.exponential(1 / rate, int(rate * seconds * 2) + 50))
    arrivals = arrivals[arrivals < seconds]
    weights = 1 / np.arange(1, tasks + 1)
    ranks = random.choice(tasks, len(arrivals), p=weights / weights.sum())
    of_rank = np.random.default_rng(0).permutation(tasks)
    which = random.integers(texts, size=len(arrivals))
    return [
        Planned(*item)
        for item in zip(
            arrivals.tolist(), of_rank[ranks].tolist(), which.tolist(), strict=True
        )
    ]


# === How it is sent ===


class Answer(NamedTuple):
    """What became of a request; times are seconds after the plan's beginning.

    Attributes:
        planned: When it was to be sent.
        sent: When it was.
        ended: When its answer was there.
        status: `"OK"`; a status of gRPC or `"HTTP 503"`; the name of an error of the
            client's; or `"row: unknown task"`, if the server left the row blank.
    """

    planned: float
    sent: float
    ended: float
    status: str


class GrpcSender:
    """Requests by the stock `tensorflow-serving-api`, over one channel.

    Args:
        address: `host:port`.
        model_name: The model.
        timeout: Seconds after which a request is given up.
    """

    def __init__(self, address: str, model_name: str, timeout: float) -> None:
        # Imported here, since the plan and REST do without.
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        self._channel = grpc.insecure_channel(address)
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._predict = stub.Predict
        self._model_name = model_name
        self._timeout = timeout

    def prepare(self, text: str, task: str) -> Any:
        """Return what `send` takes."""
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model_name
        request.model_spec.signature_name = _SIGNATURE
        for name, value in (("text", text), ("text_pair", ""), ("task", task)):
            request.inputs[name].CopyFrom(tf.make_tensor_proto([value]))
        return request

    def send(self, request: Any, answered: Callable[[str], None]) -> None:
        """Send without waiting; `answered` takes the status, in another thread."""
        future = self._predict.future(request, timeout=self._timeout)
        future.add_done_callback(lambda call: answered(_grpc_status(call)))

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def _grpc_status(call: Any) -> str:
    if call.code().name != OK:
        return call.code().name
    return _row_status(call.result().outputs["status"].string_val[0].decode())


def _row_status(status: str) -> str:
    return OK if status == "ok" else f"row: {status}"


class RestSender:
    """Requests by Python's HTTP client, over connections that stay open.

    A request takes an idle connection, or opens one more.

    Args:
        address: `host:port`.
        model_name: The model.
        timeout: Seconds after which a request is given up.
    """

    def __init__(self, address: str, model_name: str, timeout: float) -> None:
        self._address = address
        self._path = f"/v1/models/{model_name}:predict"
        self._timeout = timeout
        self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._threads: list[threading.Thread] = []

    def prepare(self, text: str, task: str) -> Any:
        """Return what `send` takes."""
        row = {"text": text, "text_pair": "", "task": task}
        return json.dumps({"signature_name": _SIGNATURE, "instances": [row]}).encode()

    def send(self, request: Any, answered: Callable[[str], None]) -> None:
        """Send without waiting; `answered` takes the status, in another thread."""
        with self._lock:
            more = self._idle <= 0 and len(self._threads) < _CONNECTIONS
            if more:
                thread = threading.Thread(target=self._connection, daemon=True)
                self._threads.append(thread)
            self._idle -= 1
        if more:
            thread.start()
        self._work.put((request, answered))

    def _connection(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=self._timeout)
        with self._lock:
            self._idle += 1
        while (work := self._work.get()) is not None:
            request, answered = work
            status = self._exchange(connection, request)
            with self._lock:
                self._idle += 1
            answered(status)
        connection.close()

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> str:
        headers = {"Content-Type": "application/json"}
        reused = connection.sock is not None
        try:
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if reused and isinstance(error, ConnectionError):
                # The server had closed it, as it does with idle ones: open another.
                return self._exchange(connection, body)
            return type(error).__name__
        if response.status != 200:
            return f"HTTP {response.status}"
        return _row_status(json.loads(content)["predictions"][0]["status"])

    def close(self) -> None:
        """Close all connections that wait for no answer."""
        for _ in self._threads:
            self._work.put(None)


def run_plan(
    sender: "GrpcSender | RestSender",
    plan: Sequence[Planned],
    tasks: Sequence[str],
    texts: Sequence[str],
    patience: float,
) -> list[Answer]:
    """Send each request at its time, and wait for all answers.

    A latency counts from the planned time, so that a late client and a server that
    holds others up both show.

    Args:
        sender: How to send.
        plan: What, and when.
        tasks: The tasks' names.
        texts: The texts.
        patience: Seconds to wait for answers after the last request was sent; those
            that are missing then have the status `"no answer"`.

    Returns:
        An answer for each request, in the plan's order.
    """
    requests = [sender.prepare(texts[one.text], tasks[one.task]) for one in plan]
    sent = [0.0] * len(plan)
    # Threads append to it, which is atomic.
    ended: list[tuple[int, float, str]] = []
    done = threading.Semaphore(0)
    start = time.perf_counter() + 0.05

    def answered(index: int) -> Callable[[str], None]:
        def note(status: str) -> None:
            ended.append((index, time.perf_counter() - start, status))
            done.release()

        return note

    for index, (one, request) in enumerate(zip(plan, requests, strict=True)):
        while (left := start + one.at - time.perf_counter()) > 0:
            time.sleep(left)
        sent[index] = time.perf_counter() - start
        sender.send(request, answered(index))
    end = time.perf_counter() + patience
    for _ in plan:
        if not done.acquire(timeout=max(0.0, end - time.perf_counter())):
            break
    missing = time.perf_counter() - start
    found = {index: (moment, status) for index, moment, status in list(ended)}
    return [
        Answer(one.at, sent[i], *found.get(i, (missing, "no answer")))
        for i, one in enumerate(plan)
    ]


# === The process ===


class _Client:
    """The requests of the parent process: `open` and `run`."""

    def __init__(self) -> None:
        self._sender: GrpcSender | RestSender | None = None
        self._patience = 0.0

    def open(
        self, protocol: str, address: str, model_name: str, timeout: float
    ) -> dict[str, Any]:
        """Prepare to send, by one of `PROTOCOLS`, to `host:port`."""
        if protocol not in PROTOCOLS:
            raise UserError(f"A protocol must be one of {PROTOCOLS}. Got: {protocol}")
        if self._sender:
            self._sender.close()
        kind = GrpcSender if protocol == GRPC else RestSender
        self._sender = kind(address, model_name, timeout)
        self._patience = timeout + 5
        return {}

    def run(
        self,
        rate: float,
        seconds: float,
        seed: int,
        tasks: list[str],
        texts: list[str],
    ) -> dict[str, Any]:
        """Plan and send; returns `answers` and the CPU seconds that this took."""
        assert self._sender
        plan = plan_requests(rate, seconds, len(tasks), len(texts), seed)
        before = time.process_time()
        answers = run_plan(self._sender, plan, tasks, texts, self._patience)
        return {"answers": answers, "cpu_seconds": time.process_time() - before}


def run_child() -> None:
    """Answer the parent's requests; `run.py --child load_client` runs it."""
    client = _Client()
    serve({"open": client.open, "run": client.run})
