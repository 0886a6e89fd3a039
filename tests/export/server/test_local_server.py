"""Start, stop, and the errors of the start."""

import shutil
import socket
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from adapters_tf.errors import UserError
from adapters_tf.export import serving_protos
from adapters_tf.export.server import local_server
from adapters_tf.export.server import options as options_module
from adapters_tf.export.server.local_server import LocalServer
from adapters_tf.export.server.options import ServerOptions
from adapters_tf.export.session import ServingSession


def listens(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(("cores", "threads"), [(8, 4), (3, 1), (1, 1)])
def test_batches_that_run_at_once_share_the_cores(serve, monkeypatch, cores, threads):
    cpus = set(range(cores))
    monkeypatch.setattr(local_server.os, "sched_getaffinity", lambda _: cpus)
    loaded = []

    def load(directory, threads):
        loaded.append(threads)
        return ServingSession(directory, threads)

    monkeypatch.setattr(local_server, "ServingSession", load)
    assert serve(batch_threads=2).rest({"instances": ["a"]})[0] == 200
    assert loaded == [threads]


def test_stop_lets_pending_requests_finish(serve, until):
    client = serve(batch_timeout_ms=0)
    body = {"signature_name": "slow", "instances": [4.0]}
    with ThreadPoolExecutor(3) as pool:
        by_grpc = pool.submit(client.grpc, "slow", {"seconds": [4.0]})
        by_rest = pool.submit(client.rest, body)
        until(lambda: client.metric("adapters_tf_serve_pending_requests") == 2)
        stopping = pool.submit(client.server.stop, 20)
        until(lambda: not listens(client.server.port))
        # Others are refused in the meantime.
        with pytest.raises(urllib.error.URLError):
            client.rest({"instances": ["a"]})
        with pytest.raises(grpc.RpcError) as error:
            client.grpc("text", {"text": ["a"]})
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert not stopping.done()
        assert by_grpc.result().outputs["took"].float_val[0] >= 4.0
        status, answer = by_rest.result()
        assert status == 200 and answer["predictions"][0] >= 4.0
        assert stopping.result() is True
    assert client.server.version is None


def test_stop_cuts_off_what_takes_longer_than_the_grace(serve, until):
    client = serve(batch_timeout_ms=0, request_timeout=5)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.grpc, "slow", {"seconds": [3.0]})
        until(lambda: client.metric("adapters_tf_serve_pending_requests") == 1)
        start = time.monotonic()
        assert client.server.stop(0.2) is False
        assert time.monotonic() - start < 2.5
        with pytest.raises(grpc.RpcError):
            slow.result()


def test_ports_are_free_after_stop(serve, servable):
    first = serve()
    ports = {"port": first.server.port, "grpc_port": first.server.grpc_port}
    first.rest({"instances": ["a"]})
    first.server.stop()
    assert serve(**ports).rest({"instances": ["a"]})[0] == 200


def test_listens_on_loopback_only(serve):
    client = serve()
    with socket.socket() as probe:
        # Another address of this machine, though also of the loopback network.
        assert probe.connect_ex(("127.0.0.2", client.server.port)) != 0


def test_model_name(serve, servable):
    client = serve(model_name="other")
    assert client.http("/v1/models/other")[0] == 200
    assert client.http("/v1/models/toy")[0] == 404


def start(servable, **options):
    settings = {"port": 0, "grpc_port": 0} | options
    with LocalServer(ServerOptions(str(servable), **settings)):
        pass


def test_directories_that_cannot_be_served(tmp_path, toys):
    with pytest.raises(UserError, match="must be a directory.*not there"):
        start(tmp_path / "none")
    with pytest.raises(UserError, match="must have versions.*Export one there first"):
        start(tmp_path)
    shutil.copytree(toys[1], tmp_path / "version")
    with pytest.raises(UserError, match="give the directory that holds it"):
        start(tmp_path / "version")


def test_no_version_that_loads(tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(UserError, match="a version that loads.*version 1: "):
        start(tmp_path)


@pytest.mark.parametrize("which", ["port", "grpc_port"])
def test_port_in_use(servable, which):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"^{which} must be free.* {port}, which"):
            start(servable, **{which: port})


def test_two_servers_cannot_share_a_port(serve):
    ports = serve().server
    for which in ("port", "grpc_port"):
        with pytest.raises(UserError, match=f"^{which} must be free"):
            serve(**{which: getattr(ports, which)})


def test_host_that_is_not_this_machine(servable):
    with pytest.raises(UserError, match="192.0.2.1, port 0 cannot be listened on"):
        start(servable, host="192.0.2.1")


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(options_module, "EXTRA", ("grpc", "no_such_package"))
    with pytest.raises(UserError, match=r"no_such_package.*adapters-tf\[serve\]"):
        options_module.check_installed()


def test_missing_protos_are_named(monkeypatch):
    def fail(name):
        raise ImportError(f"no {name}")

    monkeypatch.setattr(serving_protos.importlib, "import_module", fail)
    with pytest.raises(UserError, match='--no-deps "tensorflow-serving-api>=2.21'):
        options_module.check_installed()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_rows": 0}, "max_rows must be 1 or more"),
        ({"batch_threads": 0}, "batch_threads must be 1 or more"),
        ({"max_wait": 0.0}, "max_wait must be above 0"),
        ({"request_timeout": 0.0}, "request_timeout must be above 0"),
        ({"poll_seconds": float("nan")}, "poll_seconds must be above 0"),
        ({"max_request_mb": 5000}, "at most 1024"),
        ({"batch_timeout_ms": -1.0}, "batch_timeout_ms must be 0 or more"),
        ({"port": 65536}, "port must be from 0 to 65535"),
        ({"port": 80, "grpc_port": 80}, "must differ"),
        ({"model_name": "a/b"}, "must have no slash"),
        ({"model_name": ""}, "must have no slash"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        ServerOptions("s", **options)
