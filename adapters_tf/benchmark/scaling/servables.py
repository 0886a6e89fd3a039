"""Memory, disk, start-up and latency of servables, by their number of tasks."""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from adapters_tf.benchmark.serving.build import size_on_disk
from adapters_tf.benchmark.serving.load import load_in_new_process
from adapters_tf.benchmark.serving.random_tasks import RandomTasks
from adapters_tf.benchmark.serving.requests import mixed_inputs
from adapters_tf.benchmark.texts import SENTENCES
from adapters_tf.benchmark.timing import interleave
from adapters_tf.export.base import export_base
from adapters_tf.export.servable import MIXED, LoadedBase, save_version
from adapters_tf.export.session import ServingSession

ROWS = 16


def measure_servables(
    preset: str,
    tasks: Sequence[int],
    bottleneck_dim: int,
    seq_length: int,
    repeats: int,
    say: Callable[[str], None] = print,
) -> dict[str, list[float]]:
    """Servables with `mixed_text` alone, of random tasks.

    Memory and load time are those of a new process for each, which loads the servable
    and calls it once; latency is that of sessions in this process.

    Args:
        preset: The base.
        tasks: How many, for each servable.
        bottleneck_dim: Units of every adapter.
        seq_length: Longest input in tokens.
        repeats: Rounds of calls.
        say: Called with a line before each servable.

    Returns:
        `latency` (seconds of a call of `ROWS` texts of one task), `load` (seconds),
        `memory` (bytes by which the process grew) and `disk` (bytes), in the given
        order.
    """
    found: dict[str, list[float]] = {"load": [], "memory": [], "disk": []}
    random_tasks = RandomTasks(preset, bottleneck_dim, seq_length)
    names = [random_tasks.name(0)] * ROWS
    request = (MIXED, mixed_inputs(SENTENCES[:ROWS], names))
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="adapters-tf-benchmark-")
        )
        export_base(preset, Path(scratch) / "base", seq_length)
        base = LoadedBase(Path(scratch) / "base")
        sessions = {}
        for count in tasks:
            say(f"a servable with {count} task(s)")
            version = Path(scratch) / str(count)
            own = {
                random_tasks.name(index): random_tasks.exported(index)
                for index in range(count)
            }
            save_version(base, own, version, task_signatures=False)
            del own
            loaded = load_in_new_process([version], [request])
            resident = loaded["resident_bytes"]
            found["load"].append(loaded["load"]["wall_seconds"])
            found["memory"].append(resident["called"] - resident["before"])
            found["disk"].append(size_on_disk(version))
            sessions[str(count)] = stack.enter_context(ServingSession(version))
        timings = interleave(
            {
                name: functools.partial(session.run, *request)
                for name, session in sessions.items()
            },
            repeats,
        )
    latency = [timings[name].to_dict()["wall_seconds"] for name in sessions]
    return {"latency": latency, **found}
