"""New, broken and removed versions under a running server."""

import gc
import os
import shutil
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from adapters_tf.errors import UserError
from adapters_tf.export import versions
from adapters_tf.export.session import ServingSession

WARMUP = "assets.extra/tf_serving_warmup_requests"


def states(client):
    """State and error code of each version."""
    _, answer = client.http("/v1/models/toy")
    return {
        int(status["version"]): (status["state"], status["status"]["error_code"])
        for status in answer["model_version_status"]
    }


def scale(client):
    """What tells the version that answers."""
    return client.rest({"instances": ["x"]})[1]["predictions"][0]["score"]


def write_warmup(directory, requests):
    """Write warm-up requests, given as pairs of a signature and its inputs."""
    path = directory / WARMUP
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())


def test_swap_under_requests_fails_none(serve, servable, add_version, until):
    client = serve()
    stop = threading.Event()

    def rest(seen):
        while not stop.is_set():
            seen.append(scale(client))

    def grpc(seen):
        while not stop.is_set():
            response = client.grpc("text", {"text": ["x"]})
            (score,) = response.outputs["score"].float_val
            assert response.model_spec.version.value == score
            seen.append(score)

    seen = [[] for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        try:
            futures = [pool.submit((rest, grpc)[i % 2], s) for i, s in enumerate(seen)]
            until(lambda: all(seen))
            add_version(servable, 2, scale=2)
            end = time.monotonic() + 20
            while any(s.count(2.0) < 20 for s in seen) and time.monotonic() < end:
                time.sleep(0.02)
        finally:
            stop.set()
        for future in futures:
            future.result()  # raises what a request failed with
    for answers in seen:
        # Each thread sees the old one, then the new one, and never goes back.
        assert answers.count(2.0) >= 20
        assert answers == sorted(answers) and answers[0] == 1.0
    assert states(client) == {2: ("AVAILABLE", "OK"), 1: ("END", "OK")}
    status, answer = client.rest({"instances": ["x"]}, "/versions/1:predict")
    assert status == 404 and "Specific(toy, 1)" in answer["error"]


def test_requests_finish_on_the_version_they_began_on(
    serve, servable, add_version, until
):
    client = serve(batch_timeout_ms=0)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.grpc, "slow", {"seconds": [6.0]})
        until(lambda: client.metric("adapters_tf_serve_pending_requests") == 1)
        add_version(servable, 2, scale=2)
        until(lambda: client.server.version == 2)
        assert scale(client) == 2.0
        assert not slow.done()
        assert states(client)[1] == ("UNLOADING", "OK")
        assert slow.result().model_spec.version.value == 1
    until(lambda: states(client)[1] == ("END", "OK"))


def test_broken_version_is_refused_and_the_old_one_stays(
    serve, servable, until, caplog
):
    client = serve()
    broken = servable / ".2.tmp"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"not a model")
    broken.rename(servable / "2")
    until(lambda: 2 in states(client) and states(client)[2][0] == "END")
    assert states(client)[2][1] != "OK"
    assert states(client)[1] == ("AVAILABLE", "OK")
    assert scale(client) == 1.0
    assert "version 2 refused; 1 stays" in caplog.text
    refused = 'adapters_tf_serve_version_loads_total{result="refused"}'
    # It is not tried again and again.
    count = client.metric(refused)
    time.sleep(0.3)
    assert client.metric(refused) == count


def test_version_that_is_copied_slowly_is_served_once_complete(
    serve, servable, toys, until
):
    client = serve()
    (servable / "2").mkdir()
    shutil.copy(toys[2] / "saved_model.pb", servable / "2")
    until(lambda: states(client).get(2, ("",))[0] == "END")
    assert scale(client) == 1.0
    shutil.copytree(toys[2] / "variables", servable / "2" / "variables")
    until(lambda: client.server.version == 2)
    assert scale(client) == 2.0


def test_removed_version_falls_back(serve, servable, add_version, until):
    add_version(servable, 3, scale=2)
    client = serve()
    assert client.server.version == 3 and scale(client) == 2.0
    os.rename(servable / "3", servable / ".3.removed")
    until(lambda: client.server.version == 1)
    assert scale(client) == 1.0
    until(lambda: states(client) == {3: ("END", "OK"), 1: ("AVAILABLE", "OK")})
    # And back again.
    os.rename(servable / ".3.removed", servable / "3")
    until(lambda: client.server.version == 3)
    until(lambda: states(client)[1] == ("END", "OK"))
    assert states(client)[3] == ("AVAILABLE", "OK")


def test_the_last_version_stays_in_memory(serve, servable, until, caplog):
    client = serve()
    shutil.rmtree(servable / "1")
    until(lambda: "no version is left" in caplog.text)
    assert scale(client) == 1.0


def test_start_falls_back_to_a_version_that_loads(serve, servable):
    (servable / "2").mkdir()
    client = serve()
    assert client.server.version == 1
    assert states(client)[2][0] == "END"


def test_other_folders_are_no_versions(serve, servable, add_version):
    # The last two are no int64.
    for name in ("base", "2.tmp", "-3", "٣", str(2**63), "9" * 20):
        (servable / name).mkdir()
    (servable / "9").write_text("a file")
    add_version(servable, "0004", scale=2)
    assert serve().server.version == 4


def test_no_version_follows_the_last_int64():
    assert versions._next([1, 2**63 - 2]) == 2**63 - 1
    with pytest.raises(UserError, match="at most 9223372036854775807"):
        versions._next([1, 2**63 - 1])


def test_a_closed_session_leaves_no_graph(toys):
    gc.disable()  # What remains waits for the collector, and each reload adds to it.
    try:
        session = ServingSession(toys[1])
        graph = weakref.ref(session._session.graph)
        session.run("ids", {"ids": np.array([[1]], np.int32)})
        session.close()
        session.close()  # As often as one likes.
        del session
        assert graph() is None
    finally:
        gc.enable()


def test_reloads_leave_nothing_behind(serve, servable, add_version, until):
    client = serve(poll_seconds=0.01)
    sessions = []
    gc.disable()
    try:
        for version in range(2, 7):
            sessions.append(weakref.ref(client.server._versions._current.session))
            add_version(servable, version, scale=2)
            until(lambda v=version: client.server.version == v)
            assert scale(client) == 2.0
        until(lambda: [session() for session in sessions] == [None] * 5)
    finally:
        gc.enable()


def test_warm_up_requests_are_run(serve, servable, add_version, until):
    write_warmup(servable / "1", [("", {"text": ["a"]}), ("ids", {"ids": [[1]]})])
    client = serve()
    assert scale(client) == 1.0
    bad = [("ids", {"ids": [[1]]}), ("ids", {"ids": [[100]]})]
    for version, requests, message in [
        (2, bad, "ids must be below 100"),
        (3, [("no", {})], 'Warm-up request 1 failed: Serving signature key "no"'),
        (4, [("text", {"text": [1]})], "must be string"),
        (5, [("ids", {"ids": [[1]]})] * 1001, "exceeds the maximum (1000)"),
    ]:
        add_version(servable, f"tmp{version}")
        write_warmup(servable / f"tmp{version}", requests)
        os.rename(servable / f"tmp{version}", servable / str(version))
        until(lambda v=version: states(client).get(v, ("",))[0] == "END")
        _, answer = client.http(f"/v1/models/toy/versions/{version}")
        error = answer["model_version_status"][0]["status"]["error_message"]
        assert message in error
    assert client.server.version == 1


def truncated(path):
    path.write_bytes(path.read_bytes()[:-3])


def zeros(path):
    path.write_bytes(bytes(100))


def other_records(path):
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"no message")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "must be a TFRecord file"),
        (zeros, "must be a TFRecord file"),
        (other_records, "Warm-up request 1 is no PredictionLog"),
    ],
)
def test_damaged_warm_up_file_is_refused(
    serve, servable, add_version, until, damage, message
):
    client = serve()
    add_version(servable, "tmp")
    write_warmup(servable / "tmp", [("", {"text": ["a"]})])
    damage(servable / "tmp" / WARMUP)
    os.rename(servable / "tmp", servable / "2")
    until(lambda: states(client).get(2, ("",))[0] == "END")
    _, answer = client.http("/v1/models/toy/versions/2")
    status = answer["model_version_status"][0]["status"]
    assert status["error_code"] == "DATA_LOSS"
    assert message in status["error_message"]
    assert client.server.version == 1
