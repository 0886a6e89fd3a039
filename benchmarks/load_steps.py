"""A server, and the steps of a sweep: what was answered at each offered rate."""

import contextlib
import dataclasses
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.errors import UserError
from benchmarks.load_client import GRPC, OK, REST, Answer
from benchmarks.processes import (
    Resident,
    child_command,
    free_ports,
    quiet_environment,
)
from benchmarks.timing import busy_seconds

# The part of a step that is not counted: the queue fills or empties meanwhile.
_RAMP = 0.2
# A server is broken at a rate if it answers less of what comes.
_BROKEN = 0.9
_SERVE_PROGRAM = (
    sys.executable,
    "-P",
    "-c",
    "from adapters_tf.bin.serve import cli; cli()",
)
# Seconds that a server may take to load and warm up.
_START = 600
_WARMUP_SECONDS = 2.0
_WARMUP_SEED = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        addresses: Protocol -> `host:port`.
        model_name: Its model.
        process: Its number, or `None` if it is not ours.
    """

    addresses: Mapping[str, str]
    model_name: str
    process: int | None


@contextlib.contextmanager
def start_server(servable: Path, model_name: str) -> Iterator[Server]:
    """Run `adapters-tf-serve` with its defaults on free ports.

    Raises:
        UserError: with what it wrote, if it does not start.
    """
    rest, grpc = free_ports(2)
    command = [
        *_SERVE_PROGRAM,
        f"--servable={servable}",
        f"--model_name={model_name}",
        f"--port={rest}",
        f"--grpc_port={grpc}",
    ]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=quiet_environment()
        )
        try:
            address = f"127.0.0.1:{rest}"
            end = time.monotonic() + _START
            while not _serves(address, model_name):
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise UserError(
                        f"The server did not start: {log.read().strip()[-1500:]}"
                    )
                time.sleep(0.2)
            addresses = {GRPC: f"127.0.0.1:{grpc}", REST: address}
            yield Server(addresses, model_name, process.pid)
        finally:
            process.kill()
            process.wait()


def _serves(address: str, model_name: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", f"/v1/models/{model_name}")
        versions = json.loads(connection.getresponse().read())["model_version_status"]
        return any(version["state"] == "AVAILABLE" for version in versions)
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return False
    finally:
        connection.close()


def sweep(
    server: Server,
    protocol: str,
    tasks: Sequence[str],
    texts: Sequence[str],
    options: Any,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Offer rising rates until the server breaks, then multiples of that rate.

    Args:
        server: The server.
        protocol: How it is asked.
        tasks: The tasks that rows ask for.
        texts: What rows are drawn from.
        options: `LoadOptions`.
        say: Called with a line for each step.

    Returns:
        What `summarise` returns for each step, with `foreign`, the share of the
        machine that neither the server nor the client took, where that is known.

    Raises:
        UserError: if nothing is answered before the first step.
    """
    steps: list[dict[str, Any]] = []
    with Resident(child_command("load_client"), "The client") as client:
        client.ask(
            op="open",
            protocol=protocol,
            address=server.addresses[protocol],
            model_name=server.model_name,
            timeout=options.timeout,
        )

        def offer(rate: float, seconds: float, seed: int) -> list[Answer]:
            answer = client.ask(
                op="run",
                rate=rate,
                seconds=seconds,
                seed=seed,
                tasks=list(tasks),
                texts=list(texts),
            )
            cpu.append(answer["cpu_seconds"])
            return [Answer(*one) for one in answer["answers"]]

        cpu: list[float] = []
        warm = Counter(one.status for one in offer(10, _WARMUP_SECONDS, _WARMUP_SEED))
        if not warm[OK]:
            raise UserError(
                f"{server.addresses[protocol]} answered none of the first requests for "
                f"the model {server.model_name}. Received: {dict(warm)}"
            )
        rates, broken = list(map(float, options.rates)), False
        while rates:
            rate = rates.pop(0)
            before, start = _busy(server), time.perf_counter()
            answers = offer(rate, options.seconds, options.seed + len(steps))
            wall = time.perf_counter() - start
            step = {"offered": rate, **summarise(answers, options.seconds)}
            step["foreign"] = _foreign(before, _busy(server), cpu[-1], wall)
            steps.append(step)
            say(f"  {rate:g}/s: {step['answered']:.1f}/s answered, {step['statuses']}")
            if not broken and step["answered"] < _BROKEN * step["arrived"]:
                broken = True
                rates = [rate * factor for factor in options.overload]
    return steps


def summarise(answers: Sequence[Answer], seconds: float) -> dict[str, Any]:
    """Count a step; its first fifth is left out.

    Args:
        answers: Of all requests of the step.
        seconds: The step's length.

    Returns:
        `arrived` and `answered` per second, the requests planned and the answers that
        came while the step lasted; `statuses` -> requests; milliseconds from the
        planned time to the answer, of those answered (`latency`) and of all others
        (`refusal`); and `late`, by how much the client sent 99% of them later than
        planned, at most.
    """
    ramp = _RAMP * seconds
    counted = [one for one in answers if one.planned >= ramp]
    done = [one for one in answers if one.status == OK and ramp <= one.ended <= seconds]
    length = seconds - ramp
    return {
        "arrived": len(counted) / length,
        "answered": len(done) / length,
        "statuses": dict(sorted(Counter(one.status for one in counted).items())),
        "latency": _percentiles([_took(one) for one in counted if one.status == OK]),
        "refusal": _percentiles([_took(one) for one in counted if one.status != OK]),
        "late": _percentiles([one.sent - one.planned for one in counted])["p99"],
    }


def _took(one: Answer) -> float:
    return one.ended - one.planned


def _percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """Milliseconds: each value is one that occurred; `None` without any."""
    names = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    if not seconds:
        return dict.fromkeys(names)
    found = np.percentile(seconds, list(names.values()), method="higher")
    return {name: 1000 * float(value) for name, value in zip(names, found, strict=True)}


def _busy(server: Server) -> tuple[float, float] | None:
    """Seconds that the machine and our server were busy; Linux only."""
    machine = busy_seconds()
    if server.process is None or machine is None:
        return None
    fields = Path(f"/proc/{server.process}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return machine, ticks / os.sysconf("SC_CLK_TCK")


def _foreign(
    before: tuple[float, float] | None,
    after: tuple[float, float] | None,
    client: float,
    wall: float,
) -> float | None:
    if before is None or after is None:
        return None
    others = (after[0] - before[0]) - (after[1] - before[1]) - client
    return max(0.0, others / (wall * (os.cpu_count() or 1)))
