"""Prometheus metrics of a server."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import prometheus_client
from prometheus_client.core import Metric

from adapters_tf.export.server.errors import Code, as_serving_error

_MICROSECONDS = tuple(10 * 1.8**i for i in range(30))


class _RequestCount:
    """TensorFlow Serving's counter of requests.

    A `Counter` of prometheus_client would add `_total` to the name, which dashboards
    for TensorFlow Serving do not look for.
    """

    NAME = ":tensorflow:serving:request_count"

    def __init__(self, model: str) -> None:
        self._model = model
        self._counts = dict.fromkeys(Code, 0)
        self._lock = threading.Lock()

    def add(self, code: Code) -> None:
        with self._lock:
            self._counts[code] += 1

    def collect(self) -> Iterator[Metric]:
        metric = Metric(self.NAME, "Requests by their status.", "unknown")
        for code, count in self._counts.items():
            if count:
                labels = {"model_name": self._model, "status": code.name}
                metric.add_sample(self.NAME, labels, count)
        yield metric


class Metrics:
    """The metrics of one server, in their own registry.

    Args:
        model: The model's name.
    """

    def __init__(self, model: str) -> None:
        self._registry = registry = prometheus_client.CollectorRegistry()
        self._model = model
        self._count = _RequestCount(model)
        registry.register(self._count)
        self._latency = prometheus_client.Histogram(
            ":tensorflow:serving:request_latency",
            "Microseconds of a request that succeeded.",
            ["model_name", "API", "entrypoint"],
            registry=registry,
            buckets=_MICROSECONDS,
        )
        self._batch_rows = prometheus_client.Histogram(
            "adapters_tf_serve_batch_rows",
            "Rows of a batch.",
            registry=registry,
            buckets=tuple(2**i for i in range(12)),
        )
        self._batch_requests = prometheus_client.Histogram(
            "adapters_tf_serve_batch_requests",
            "Requests of a batch.",
            registry=registry,
            buckets=tuple(2**i for i in range(10)),
        )
        self._queue_seconds = prometheus_client.Histogram(
            "adapters_tf_serve_queue_seconds",
            "Seconds that a batch's first request waited.",
            registry=registry,
        )
        self._pending = prometheus_client.Gauge(
            "adapters_tf_serve_pending_requests",
            "Requests that came and are not answered.",
            registry=registry,
        )
        self._version = prometheus_client.Gauge(
            "adapters_tf_serve_version", "The version in service.", registry=registry
        )
        self._loads = prometheus_client.Counter(
            "adapters_tf_serve_version_loads",
            "Versions that were loaded, or refused.",
            ["result"],
            registry=registry,
        )

    @contextmanager
    def request(self, entrypoint: str) -> Iterator[None]:
        """Measure one Predict request.

        Args:
            entrypoint: "GRPC" or "REST".
        """
        start = time.perf_counter()
        code = Code.OK
        with self._pending.track_inprogress():
            try:
                yield
            except Exception as error:
                code = as_serving_error(error).code
                raise
            finally:
                self._count.add(code)
                if code is Code.OK:
                    self._latency.labels(self._model, "Predict", entrypoint).observe(
                        (time.perf_counter() - start) * 1e6
                    )

    def batch(self, rows: int, requests: int, seconds: float) -> None:
        """Count a batch."""
        self._batch_rows.observe(rows)
        self._batch_requests.observe(requests)
        self._queue_seconds.observe(seconds)

    def load(self, version: int, succeeded: bool) -> None:
        """Count a load."""
        self._loads.labels("loaded" if succeeded else "refused").inc()
        if succeeded:
            self._version.set(version)

    def page(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return prometheus_client.generate_latest(self._registry)
