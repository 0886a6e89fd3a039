"""The load generator: its plan, its clients against small servers, its counting."""

import http.server
import itertools
import json
import shutil
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import tensorflow as tf

from adapters_tf.errors import UserError
from benchmarks import jobs, load, load_report
from benchmarks.load import LoadOptions
from benchmarks.load_client import (
    Answer,
    GrpcSender,
    Planned,
    RestSender,
    plan_requests,
    run_plan,
)
from benchmarks.load_steps import Server, summarise, sweep
from benchmarks.texts import varied_texts


def test_arrivals_are_poisson_and_tasks_follow_zipfs_law():
    plan = plan_requests(rate=200, seconds=100, tasks=1024, texts=50, seed=3)
    assert plan == plan_requests(200, 100, 1024, 50, 3)
    assert plan != plan_requests(200, 100, 1024, 50, 4)
    times = [one.at for one in plan]
    assert times == sorted(times) and 0 < times[0] and times[-1] < 100
    # 20,000 expected; four standard deviations.
    assert abs(len(plan) - 20_000) < 4 * 20_000**0.5
    gaps = [b - a for a, b in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    # An exponential gap varies as much as it is long; regular arrivals would not.
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert variance**0.5 / mean == pytest.approx(1, abs=0.05)
    counts = [count for _, count in Counter(one.task for one in plan).most_common()]
    harmonic = sum(1 / rank for rank in range(1, 1025))
    for rank in (1, 2, 4, 8):
        expected = len(plan) / (rank * harmonic)
        assert counts[rank - 1] == pytest.approx(expected, rel=0.15)
    assert {one.text for one in plan} == set(range(50))
    # The frequent tasks are the same ones at every rate.
    other = plan_requests(1000, 20, 1024, 50, 7)
    first, second = (
        Counter(one.task for one in of).most_common(1)[0][0] for of in (plan, other)
    )
    assert first == second


def test_texts_have_the_lengths_of_sst2():
    texts = varied_texts(1000)
    assert texts == varied_texts(1000)
    words = sorted(len(text.split()) for text in texts)
    assert words[0] >= 2 and words[-1] <= 47
    assert 16 <= words[500] <= 19 and 18 <= sum(words) / 1000 <= 21


class Held:
    """A sender that answers nothing until it has sent `count` requests, but `lose`."""

    def __init__(self, count, lose=()):
        self.count = count
        self.lose = lose
        self.sent = []
        self._waiting = []

    def prepare(self, text, task):
        return text, task

    def send(self, request, answered):
        self.sent.append(request)
        self._waiting.append(answered)
        if len(self.sent) == self.count:
            for index, one in enumerate(self._waiting):
                if index not in self.lose:
                    threading.Thread(target=one, args=("OK",)).start()


def test_requests_go_out_whether_others_are_answered_or_not():
    sender = Held(10)
    plan = [Planned(0.02 * i, 1, i % 2) for i in range(10)]
    answers = run_plan(sender, plan, ["a", "b"], ["x", "y"], patience=60)
    assert sender.sent == [("x", "b"), ("y", "b")] * 5
    assert [one.planned for one in answers] == [one.at for one in plan]
    for one in answers:
        # None before its time; and the first has waited for all of them.
        assert one.status == "OK" and one.sent >= one.planned
        assert one.ended - one.planned >= plan[-1].at - one.planned


def test_an_answer_that_never_comes_is_counted():
    sender = Held(3, lose=(1,))
    plan = [Planned(0.0, 0, 0)] * 3
    answers = run_plan(sender, plan, ["a"], ["x"], patience=0.5)
    assert [one.status for one in answers] == ["OK", "no answer", "OK"]
    assert answers[1].ended >= 0.5


# Text of a row -> what the servers below answer.
FATES = {"good": "ok", "unknown": "unknown task", "busy": None}
SENT = [Planned(0.0, 0, i) for i in range(3)]


@pytest.fixture
def rest_server():
    """Where a REST server listens, and the paths and connections that it saw."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, self.client_address, body))
            fate = FATES[body["instances"][0]["text"]]
            answer = json.dumps({"predictions": [{"status": fate}]}).encode()
            self.send_response(200 if fate else 503)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


def test_rest_requests_and_their_statuses(rest_server):
    address, seen = rest_server
    sender = RestSender(address, "m", timeout=10)
    answers = run_plan(sender, SENT, ["t"], list(FATES), patience=10)
    assert [one.status for one in answers] == ["OK", "row: unknown task", "HTTP 503"]
    row = {"text": "good", "text_pair": "", "task": "t"}
    body = {"signature_name": "mixed_text", "instances": [row]}
    assert ("/v1/models/m:predict", body) in [(path, sent) for path, _, sent in seen]
    seen.clear()
    # One after another: a connection that is open is used again.
    for _ in range(5):
        run_plan(sender, SENT[:1], ["t"], list(FATES), patience=10)
    assert len({client for _, client, _ in seen}) <= 3
    sender.close()
    closed = RestSender("127.0.0.1:1", "m", timeout=10)
    (answer,) = run_plan(closed, SENT[:1], ["t"], list(FATES), patience=10)
    assert answer.status == "ConnectionRefusedError"


@pytest.fixture
def grpc_server():
    """Where a gRPC server listens, and the requests that it saw."""
    pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    seen = []

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            seen.append(request)
            fate = FATES[request.inputs["text"].string_val[0].decode()]
            if fate is None:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
            response = predict_pb2.PredictResponse()
            response.outputs["status"].CopyFrom(tf.make_tensor_proto([fate]))
            return response

    server = grpc.server(ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Service(), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", seen
    server.stop(0).wait()


def test_grpc_requests_and_their_statuses(grpc_server):
    address, seen = grpc_server
    sender = GrpcSender(address, "m", timeout=10)
    answers = run_plan(sender, SENT, ["t"], list(FATES), patience=10)
    sender.close()
    found = [one.status for one in answers]
    assert found == ["OK", "row: unknown task", "RESOURCE_EXHAUSTED"]
    (request,) = (r for r in seen if r.inputs["text"].string_val[0] == b"good")
    spec = request.model_spec
    assert (spec.name, spec.signature_name) == ("m", "mixed_text")
    values = {name: list(value.string_val) for name, value in request.inputs.items()}
    assert values == {"text": [b"good"], "text_pair": [b""], "task": [b"t"]}


@pytest.mark.slow
def test_a_sweep_of_a_server_at_an_address(rest_server):
    address, _ = rest_server
    server = Server({"rest": address}, "m", None)
    options = LoadOptions(rates=(20,), overload=(), seconds=0.5)
    (step,) = sweep(server, "rest", ["t"], ["good"], options, lambda _: None)
    assert step["offered"] == 20 and set(step["statuses"]) == {"OK"}
    assert step["foreign"] is None and step["latency"]["p99"] > 0
    with pytest.raises(UserError, match="none of the first requests.*HTTP 503"):
        sweep(server, "rest", ["t"], ["busy"], options, lambda _: None)


@pytest.mark.slow
def test_load_quick(call, small_preset, tmp_path, monkeypatch, capsys):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    def copy(sizes, seq_length, directory):
        shutil.copytree(small_preset, directory)

    monkeypatch.setattr(load, "save_random_base", copy)
    output = tmp_path / "load.json"
    args = ("--rates=5", "--overload=", f"--output={output}")
    assert call(jobs, "load", "--quick", *args) == 0
    assert [entry for entry in scratch.iterdir() if entry.is_dir()] == []
    result = json.loads(output.read_text())
    assert set(result) == {"benchmark", "machine", "options", "texts", "sweeps"}
    assert [one["protocol"] for one in result["sweeps"]] == ["grpc", "rest"]
    for one in result["sweeps"]:
        (found,) = one["steps"]
        assert (one["encoder"], one["tasks"], found["offered"]) == ("tiny", 4, 5)
        assert set(found["statuses"]) == {"OK"} and found["latency"]["p50"] > 0
    markdown = output.with_suffix(".md").read_text()
    assert markdown in capsys.readouterr().out
    assert output.with_suffix(".svg").stat().st_size > 1000


def test_a_step_is_counted_after_its_ramp():
    answers = [
        Answer(0.5, 0.5, 0.9, "OK"),  # Before the first fifth has passed.
        Answer(1.9, 1.9, 2.4, "OK"),  # The answer counts, the request does not.
        Answer(3.0, 3.1, 3.2, "OK"),
        Answer(4.0, 4.0, 4.4, "OK"),
        Answer(5.0, 5.0, 5.1, "HTTP 503"),
        Answer(9.0, 9.0, 11.0, "OK"),  # Answered after the step's end.
    ]
    step = summarise(answers, 10)
    assert step["arrived"] == 4 / 8 and step["answered"] == 3 / 8
    assert step["statuses"] == {"HTTP 503": 1, "OK": 3}
    # From the planned time.
    expected = {"p50": 400, "p95": 2000, "p99": 2000, "max": 2000}
    assert step["latency"] == pytest.approx(expected)
    assert step["refusal"]["p50"] == pytest.approx(100)
    assert step["late"] == pytest.approx(100)
    assert summarise([], 10)["latency"]["p50"] is None


def step(offered, answered, p95, **statuses):
    times = dict.fromkeys(("p50", "p95", "p99", "max"), p95)
    return {
        "offered": offered,
        "arrived": offered,
        "answered": answered,
        "statuses": {"OK": 9, **statuses},
        "latency": times,
        "refusal": {**times, "p50": 3.0},
        "foreign": 0.25,
        "late": 1.0,
    }


STEPS = [step(10, 10, 20.0), step(20, 20, 177.0), step(40, 25, 900.0, UNAVAILABLE=5)]


def test_the_rate_that_is_fast_enough():
    assert load_report.fast_enough(STEPS) == 20
    assert load_report.fast_enough(STEPS[2:]) is None
    # One that is refused is not answered in time.
    refused = [step(10, 10, 20.0, UNAVAILABLE=1), *STEPS[1:]]
    assert load_report.fast_enough(refused) is None
    assert load_report.most(STEPS) == 25


@pytest.fixture
def result():
    """A file of the job."""
    machine = {
        **{"date": "2026-01-02", "processor": "p", "cores": 2, "memory_gb": 8.0},
        **{"system": "Linux", "load_average": 1.5, "versions": {}},
    }
    sweeps = [
        {"encoder": "minilm", "protocol": name, "tasks": 1024, "steps": STEPS}
        for name in ("grpc", "rest")
    ]
    return {
        "benchmark": "load",
        "machine": machine,
        "options": {"bottleneck_dim": 16, "seq_length": 128, "seconds": 8.0},
        "texts": {"count": 9, "mean_words": 19.4},
        "sweeps": sweeps,
    }


def test_tables(result):
    text = load_report.as_markdown(result)
    assert "processes took 25% of the machine in the mean, and 25% in the" in text
    assert "| minilm, grpc, 1,024 task(s) | 20 | 25 | 40 | 100% | 3 |" in text
    assert "| 40 | 40 | 25 | 900 | 900 | 900 | 5 UNAVAILABLE | 900 | 25% |" in text


def test_the_page_gets_tables_and_a_figure(result, call, tmp_path):
    (tmp_path / "load_2.json").write_text(json.dumps(result))
    page = tmp_path / "page.md"
    page.write_text("<!-- measured: load -->\n<!-- end -->\n")
    assert call(jobs, "page", f"--results={tmp_path}", f"--output={page}") == 0
    assert "| minilm, rest, 1,024 task(s) | 20 |" in page.read_text()
    svg = (tmp_path / "load.svg").read_text()
    for label in ("grpc, 1,024 task(s)", "minilm: answered/s", "177 ms"):
        assert label in svg


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"encoders": ("big",)},
            "encoders must be some of tiny, minilm.*Received: big",
        ),
        ({"protocols": ()}, "protocols must be some of grpc, rest"),
        ({"tasks": (0,)}, "tasks must be rising whole numbers from 1. Received: 0"),
        ({"rates": (4, 2)}, "rates must be rising.*Received: 4,2"),
        ({"seconds": 0.0}, "seconds must be above 0"),
        ({"timeout": float("nan")}, "timeout must be above 0"),
        ({"addresses": {"grpc": "x:1"}}, "of task_names. Received: none"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(UserError, match=message):
        LoadOptions(**options)
