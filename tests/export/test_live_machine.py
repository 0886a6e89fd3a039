"""Live tasks under everything that operators, disks and kills can do to them.

A state machine adds, replaces, copies, damages and removes tasks of a servable, kills
and starves processes that change it, rolls it back and restarts its server, while four
clients ask. Each answer must be that of a task that was there while the client waited.

By hand, this runs more operations and prints the seed:

    ADAPTERS_TF_OPERATIONS=10000 pytest -s tests/export/test_live_machine.py

`--hypothesis-seed=SEED` repeats a run's operations.
"""

import http.client
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from adapters_tf.errors import UserError
from adapters_tf.export import add_task, remove_task, roll_back, verify_servable
from adapters_tf.export import versions as versions_module
from adapters_tf.export.saving import link_tree
from adapters_tf.export.server.local_server import LocalServer
from adapters_tf.export.server.options import ServerOptions
from adapters_tf.export.session import ServingSession
from adapters_tf.export.task_folder import live_task_names, task_path

OPERATIONS = int(os.environ.get("ADAPTERS_TF_OPERATIONS", "200"))
TEXT, PAIR = "the film was very good", "so sad was the actor ."
NAMES = ("a", "b", "c", "d", "e")
CONTENTS = ("entails", "norms", "many", "likeness", "answers")
ABSENT, DAMAGED = "unknown task", "damaged task"
names, contents = st.sampled_from(NAMES), st.sampled_from(CONTENTS)
# Operations that take seconds are left out unless this is 0.
rarely = st.integers(0, 5)

# Changes one task when told to, and says when it starts.
_WORKER = """
import resource, signal, sys
from adapters_tf.export import add_task, remove_task
import adapters_tf.export.task_folder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    servable, name, directory, replace, limit = line.split("\\t")
    most = int(limit) or resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    print("start", flush=True)
    try:
        add_task(servable, name, directory, replace == "True")
        print("done", flush=True)
    except ValueError as error:
        print("refused", error, flush=True)
"""


class Worker:
    """A process that changes tasks, and that can be killed meanwhile."""

    def __init__(self):
        self._process = None

    def add(self, servable, name, directory, replace, kill_after=None, limit=0):
        """Add a task, or kill the process `kill_after` seconds after its start."""
        process = self._running()
        request = map(str, (servable, name, directory, replace, limit))
        process.stdin.write("\t".join(request) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "start\n"
        if kill_after is None:
            return process.stdout.readline()
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._process = None
        return ""

    def _running(self):
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert self._process.stdout.readline() == "ready\n"
        return self._process

    def close(self):
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class History:
    """What each name stood for, and from when on.

    While an operation runs, a name stands for all that it may leave.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._of_name = {name: [(0.0, {ABSENT})] for name in NAMES}

    def now(self, name):
        """What the name stands for."""
        return self._of_name[name][-1][1]

    def set(self, name, *states):
        """From now on, the name stands for one of these."""
        with self._lock:
            self._of_name[name].append((time.monotonic(), set(states)))

    def between(self, name, start, end):
        """All that the name may have stood for in this time."""
        with self._lock:
            entries = list(self._of_name[name])
        nexts = [begin for begin, _ in entries[1:]] + [float("inf")]
        found = set()
        for (begin, states), until in zip(entries, nexts, strict=True):
            if begin <= end and until >= start:
                found |= states
        return found


class Client(threading.Thread):
    """Asks for rows of random tasks, one request after another, and checks them."""

    def __init__(self, world, seed):
        super().__init__(daemon=True)
        self.world = world
        self.random = random.Random(seed)
        self.stop = threading.Event()
        self.answered = 0
        self.problem = None

    def run(self):
        try:
            while not self.stop.is_set():
                self.ask()
        except BaseException as error:
            self.problem = error

    def ask(self):
        wanted = [self.random.choice((*NAMES, "topics", "../x")) for _ in range(3)]
        rows = [{"text": TEXT, "text_pair": PAIR, "task": name} for name in wanted]
        start = time.monotonic()
        while True:
            try:
                status, answer = self.post(json.dumps({"instances": rows}))
                break
            except (OSError, http.client.HTTPException):
                # The server is being restarted; no request is lost.
                if self.stop.is_set():
                    return
                time.sleep(0.02)
        end = time.monotonic()
        assert status == 200, (status, answer)
        for name, row in zip(wanted, answer["predictions"], strict=True):
            self.world.check(name, row, start, end)
        self.answered += 1
        time.sleep(0.01)

    def post(self, body):
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.world.server.port, timeout=60
        )
        try:
            path = "/v1/models/S:predict"
            connection.request("POST", path, body)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


class World:
    """A servable with its server and clients."""

    def __init__(self, path, directories, files, expected):
        self.path = path
        self.directories = directories
        self.files = files
        self.expected = expected
        self.history = History()
        self.worker = Worker()
        self.versions = 1
        self.server = None
        self.start_server()
        self.clients = [Client(self, seed) for seed in range(4)]
        for client in self.clients:
            client.start()

    def start_server(self):
        """Start the server, or another on the same port."""
        port = self.server.port if self.server else 0
        options = ServerOptions(
            str(self.path), port=port, grpc_port=0, poll_seconds=0.2, model_name="S"
        )
        self.server = LocalServer(options)
        self.server.start()

    def check(self, name, row, start, end):
        """Check an answer against all that the name may have stood for."""
        if name == "topics":
            states = {"topics"}
        elif name == "../x":
            assert row["status"] == "invalid task name"
            return
        else:
            states = self.history.between(name, start, end)
        if row["status"] != "ok":
            assert row["status"] in states, (name, row["status"], states)
            return
        candidates = [self.expected[s] for s in states if s in self.expected]
        assert any(_equal(row, other) for other in candidates), (name, row, states)

    def alive(self):
        """Fail if a client has found something wrong."""
        for client in self.clients:
            if client.problem:
                raise client.problem

    def close(self):
        """Stop everything."""
        for client in self.clients:
            client.stop.set()
        for client in self.clients:
            client.join()
        self.worker.close()
        self.server.stop(5)


def _equal(row, expected):
    for name, value in expected.items():
        if isinstance(value, str):
            if row[name] != value:
                return False
        elif name == "probabilities":
            width = min(len(row[name]), len(value))
            if not np.allclose(row[name][:width], value[:width], atol=1e-5):
                return False
        elif not np.allclose(row[name], value, atol=1e-5):
            return False
    return True


@pytest.fixture(scope="module")
def world(live_servable, saved_tasks, many, tmp_path_factory):
    """The world of all examples."""
    path = tmp_path_factory.mktemp("machine") / "S"
    link_tree(live_servable, path)
    directories = {n: saved_tasks[n].adapter_dir for n in CONTENTS if n != "many"}
    directories["many"] = many.adapter_dir
    files, expected = {}, {}
    rows = {"text": TEXT, "text_pair": PAIR}
    with ServingSession(path / "1") as session:
        for name in (*CONTENTS, "topics"):
            if name in directories:
                add_task(path, name, directories[name])
                files[name] = task_path(path, name).read_bytes()
            inputs = {
                k: np.array([v], object) for k, v in (rows | {"task": name}).items()
            }
            outputs = session.run("mixed_text", inputs)
            kept = ("kind", "label", "probabilities", "score", "answer", "answer_start")
            row = {key: outputs[key][0] for key in kept}
            expected[name] = {
                k: v.decode() if isinstance(v, bytes) else v for k, v in row.items()
            }
            if name in directories:
                remove_task(path, name)
    with pytest.MonkeyPatch.context() as patch:
        # The export's check has tests of its own, and takes seconds.
        patch.setattr(versions_module, "check_export", lambda *args: None)
        found = World(path, directories, files, expected)
        yield found
        found.close()


def _machine(world):
    class LiveTasks(RuleBasedStateMachine):
        """The operations."""

        @initialize()
        def clean(self):
            for name in live_task_names(world.path):
                before = world.history.now(name)
                world.history.set(name, *before, ABSENT)
                remove_task(world.path, name)
                world.history.set(name, ABSENT)

        def _change(self, name, after, operation):
            """Run an operation after which the name stands for `after`."""
            before = world.history.now(name)
            world.history.set(name, *before, after)
            operation()
            world.history.set(name, after)
            world.alive()

        @rule(name=names, content=contents)
        def add_or_replace(self, name, content):
            there = task_path(world.path, name).exists()
            directory = world.directories[content]
            with pytest.raises(UserError, match="is there already|is not there"):
                add_task(world.path, name, directory, replace=not there)
            self._change(
                name,
                content,
                lambda: add_task(world.path, name, directory, replace=there),
            )

        @rule(name=names)
        def remove(self, name):
            if task_path(world.path, name).exists():
                self._change(name, ABSENT, lambda: remove_task(world.path, name))
            else:
                with pytest.raises(UserError, match=f"no task '{name}' to remove"):
                    remove_task(world.path, name)

        @rule(name=names, content=contents)
        def copy(self, name, content):
            """Another program copies a task's file, and renames it at the end."""

            def put():
                hidden = world.path / "tasks" / f".{name}.task.Xy"
                hidden.write_bytes(world.files[content])
                os.replace(hidden, task_path(world.path, name))

            self._change(name, content, put)

        @rule(name=names, content=contents, place=st.integers(0, 10**6))
        def damage(self, name, content, place):
            """A bit flips, or the end of the file is missing."""
            data = bytearray(world.files[content])
            if place % 3:
                data[place % len(data)] ^= 1 << place % 8
            else:
                del data[place % len(data) :]

            def put():
                hidden = world.path / "tasks" / ".damaged"
                hidden.write_bytes(data)
                os.replace(hidden, task_path(world.path, name))

            self._change(name, DAMAGED, put)
            with pytest.raises(UserError, match=f"{name}.task' is not the file of a"):
                verify_servable(world.path)

        @rule(name=names, content=contents)
        def full_disk(self, name, content):
            """The file does not fit: nothing changes, and nothing is left."""
            there = task_path(world.path, name).exists()
            before = world.history.now(name)
            said = world.worker.add(
                world.path, name, world.directories[content], there, limit=2000
            )
            assert said.startswith("refused") and "could not be written" in said
            assert world.history.now(name) == before
            world.alive()
            self._no_leftovers()

        @rule(name=names, content=contents, moment=st.floats(0, 0.06), rarely=rarely)
        def kill(self, name, content, moment, rarely):
            """Kill -9 in the middle: the old task is there, or the new one."""
            if rarely:
                return
            path = task_path(world.path, name)
            before = path.read_bytes() if path.exists() else None
            states = world.history.now(name)
            world.history.set(name, *states, content)
            world.worker.add(
                world.path, name, world.directories[content], path.exists(), moment
            )
            after = path.read_bytes() if path.exists() else None
            if after == world.files[content]:
                world.history.set(name, content)
            else:
                assert after == before
                world.history.set(name, *states)
            world.alive()

        @precondition(lambda self: world.versions < 2 + OPERATIONS // 300)
        @rule()
        def roll_back(self):
            """A new version takes over; live tasks are the same in it."""
            world.versions += 1
            assert roll_back(world.path, 1) == world.versions
            end = time.monotonic() + 120
            while world.server.version != world.versions:
                assert time.monotonic() < end, "the server kept the old version"
                world.alive()
                time.sleep(0.05)

        @rule(rarely=rarely)
        def restart(self, rarely):
            """Clients wait, and their requests are answered by the next server."""
            if rarely:
                return
            world.server.stop(5)
            world.start_server()
            world.alive()

        def _no_leftovers(self):
            kept = {f"{name}.task" for name in live_task_names(world.path)}
            left = {p.name for p in (world.path / "tasks").iterdir()} - kept
            assert not {name for name in left if not name.endswith(".tmp")}, left

    return LiveTasks


@pytest.mark.slow
def test_every_answer_is_that_of_a_task_which_was_there(world):
    """No request is lost, no byte is left, and memory does not grow."""
    steps = 50
    run_state_machine_as_test(
        _machine(world),
        settings=settings(
            max_examples=max(1, OPERATIONS // steps),
            stateful_step_count=steps,
            deadline=None,
            derandomize=OPERATIONS == 200,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    world.alive()
    for client in world.clients:
        assert client.answered > 5
    for name in live_task_names(world.path):
        remove_task(world.path, name)
    # What killed processes left goes with the next change.
    add_task(world.path, "a", world.directories["norms"])
    assert [p.name for p in (world.path / "tasks").iterdir()] == ["a.task"]
    remove_task(world.path, "a")
    assert verify_servable(world.path).live_tasks == 0
    answered = sum(client.answered for client in world.clients)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{answered} requests, {world.versions} versions, peak RSS {peak:.0f} MB")
