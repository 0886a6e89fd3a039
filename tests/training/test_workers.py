"""Workers that wait for each other before TensorFlow does."""

import socket
import threading
import time

import pytest

from adapters_tf.errors import TryAgain, UserError
from adapters_tf.training import workers
from adapters_tf.training.workers import wait_for_workers
from benchmarks.processes import free_ports


@pytest.fixture
def addresses():
    return [f"localhost:{port}" for port in free_ports(3)]


def test_all_go_on_when_the_last_has_come(addresses):
    left = {}

    def worker(own):
        wait_for_workers(addresses, own, seconds=60)
        # As TensorFlow does next; others may still be looking.
        with socket.create_server(("", int(own.split(":")[1]))):
            left[own] = time.monotonic()
            done.wait(60)

    done = threading.Event()
    threads = [threading.Thread(target=worker, args=(own,)) for own in addresses]
    for thread in threads[:2]:
        thread.start()
    time.sleep(0.5)
    assert left == {}
    last = time.monotonic()
    threads[2].start()
    while len(left) < 3 and time.monotonic() < last + 60:
        time.sleep(0.01)
    done.set()
    assert set(left) == set(addresses)
    assert all(moment > last for moment in left.values())


def test_one_that_does_not_come_is_named_in_time(addresses, monkeypatch, capsys):
    own, missing, _ = addresses
    monkeypatch.setattr(workers, "_QUIET_SECONDS", 0.1)
    began = time.monotonic()
    with pytest.raises(TryAgain, match=f"After 3 seconds nobody answers at {missing}"):
        wait_for_workers([own, missing], own, seconds=3)
    assert 3 <= time.monotonic() - began < 12
    assert capsys.readouterr().err == f"waiting for {missing}\n"
    # The own port is free again.
    socket.create_server(("", int(own.split(":")[1]))).close()


def test_one_worker_waits_for_nobody(addresses):
    wait_for_workers(addresses[:1], addresses[0], seconds=0)


def test_port_that_is_taken(addresses):
    own = addresses[0]
    message = f"address in TF_CONFIG must be free. Received: '{own}': Address already"
    with socket.create_server(("", int(own.split(":")[1]))):
        with pytest.raises(UserError, match=message):
            wait_for_workers(addresses, own, seconds=1)


@pytest.mark.parametrize("address", ["host0", "host0:", "host0:x", ":22", "a:70000"])
def test_addresses_that_are_none(addresses, address):
    with pytest.raises(UserError, match="must be host:port. Received: '"):
        wait_for_workers([addresses[0], address], addresses[0], seconds=1)
