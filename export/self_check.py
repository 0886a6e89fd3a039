"""Compare a SavedModel with its source model, in a new process.

`python -m adapters_tf.export.self_check SAVED_MODEL CASES` loads the SavedModel with
only tensorflow and tensorflow_text and calls it. If an output differs, it prints which
one and exits with 1.
"""

import contextlib
import contextvars
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.errors import UserError

TOLERANCE = 1e-5
SIGNATURES = "signatures/"

# Texts for the calls of every export: short, long (over 128 tokens), with accents,
# emoji and a link; and a second text for each.
SAMPLE_TEXTS = (
    "The committee approved the budget for next year without a single objection.",
    "ok",
    "Please call me back before 5pm, I still haven't received the tracking number!!",
    "Crème brûlée at a café near the Élysée costs €12.50, which is not naïve at all.",
    "Why did the flight from Boston to Denver leave two hours late?",
    "@airline thanks for the quick help 😀 #travel http://t.co/abc",
    "She sells sea shells. By the sea shore? Yes: by the sea shore.",
    "The experiment, which had been repeated eleven times under different temperatures "
    "and pressures, showed no significant relation between the two measurements, and "
    "so the authors concluded, somewhat reluctantly, that the earlier report had "
    "described an artefact of the instrument rather than a property of the material; "
    "a second group, working independently with samples from three other suppliers, "
    "reached the same conclusion a few months later, and the original article was "
    "withdrawn by its journal at the request of four of its six authors. " * 2,
)
SAMPLE_PAIRS = tuple(SAMPLE_TEXTS[1:] + SAMPLE_TEXTS[:1])


@dataclasses.dataclass(frozen=True)
class Case:
    """A call and its expected outputs.

    Attributes:
        function: Attribute of the SavedModel to call, `""` for `__call__`, or
            `"signatures/NAME"`.
        inputs: The single argument: an array, or arrays by name; `None` for no
            argument.
        expected: Arrays by output name; `{"": array}` for a single output. Floats may
            differ by 1e-5 (relative to values above 1), and expected NaNs are not
            compared; all other values must be equal.
    """

    function: str
    inputs: Any
    expected: dict[str, np.ndarray]


def check_export(directory: Path, cases: list[Case]) -> None:
    """Compare an export with its source model before keeping it.

    The check is `check_in_new_process`, unless `exports_checked_by` sets another.

    Args:
        directory: A SavedModel.
        cases: The calls to compare.

    Raises:
        UserError: if the SavedModel cannot be loaded or an output differs.
    """
    _check.get()(directory, cases)


@contextlib.contextmanager
def exports_checked_by(
    check: Callable[[Path, list[Case]], None],
) -> Iterator[None]:
    """Use another check of exports in a block, such as `check_in_this_process`.

    Args:
        check: Function with the arguments of `check_export` that raises `UserError` for
            a wrong export.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def check_in_this_process(directory: Path, cases: list[Case]) -> None:
    """Load `directory` in this process and run the cases.

    This saves the seconds that a new process needs to import TensorFlow, but it does
    not detect whether the export depends on something in this process.

    Raises:
        UserError: if the SavedModel cannot be loaded or an output differs.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "cases"
        _write(path, cases)
        try:
            problem = find_problem(str(directory), str(path))
        except Exception as error:
            problem = str(error)
    if problem:
        raise UserError(
            "The export was not kept: loaded again, it did not give what the model in "
            f"memory gives. {problem}"
        )


def check_in_new_process(directory: Path, cases: list[Case]) -> None:
    """Load `directory` in a new process and run the cases.

    Raises:
        UserError: if the SavedModel cannot be loaded or an output differs.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "cases"
        _write(path, cases)
        command = [sys.executable, "-P", "-m", __name__, str(directory), str(path)]
        status, output, errors = _run(command)
    if status:
        reason = output.strip() or errors.strip()[-2000:]
        raise UserError(
            "The export was not kept: loaded in a new process, it did not give what "
            f"the model in memory gives. {reason}"
        )


def _run(command: list[str]) -> tuple[int, str, str]:
    """Run a command; return its status, output and errors.

    However the call ends, no process is left. `subprocess.run` leaves one if the
    handler of SIGTERM raises while the process starts.
    """
    process = None
    try:
        with _sigterm_waits():
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
        output, errors = process.communicate()
    except BaseException:
        if process is not None:
            process.kill()
            process.wait()
        raise
    return process.returncode, output, errors


@contextlib.contextmanager
def _sigterm_waits() -> Iterator[None]:
    """Call the handler of SIGTERM after the block, if one came within it."""
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler) or threading.current_thread() != threading.main_thread():
        yield
        return
    came: list[tuple[int, Any]] = []
    signal.signal(signal.SIGTERM, lambda *arguments: came.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
    if came:
        handler(*came[0])


_check: contextvars.ContextVar[Callable[[Path, list[Case]], None]] = (
    contextvars.ContextVar("check", default=check_in_new_process)
)


def _write(path: Path, cases: list[Case]) -> None:
    arrays: dict[str, Any] = {}
    index = []
    for case in cases:
        inputs = {} if case.inputs is None else case.inputs
        inputs = inputs if isinstance(inputs, dict) else {"": inputs}
        entry: dict[str, Any] = {"function": case.function}
        for part, values in (("inputs", inputs), ("expected", case.expected)):
            entry[part] = {}
            for name, value in values.items():
                entry[part][name] = f"a{len(arrays)}"
                arrays[entry[part][name]] = _as_bytes(np.asarray(value))
        index.append(entry)
    np.savez(f"{path}.npz", **arrays)
    Path(f"{path}.json").write_text(json.dumps(index))


def _as_bytes(value: np.ndarray) -> np.ndarray:
    """Convert texts to fixed-width UTF-8 bytes, which need no pickle; keep others."""
    if value.dtype.kind not in "OU":
        return value
    texts = [v if isinstance(v, bytes) else v.encode() for v in value.ravel().tolist()]
    return np.array(texts, dtype=bytes).reshape(value.shape)


def _problem(name: str, expected: np.ndarray, got: np.ndarray) -> str | None:
    if expected.shape != got.shape:
        return f"{name} has shape {got.shape}, not {expected.shape}"
    if expected.dtype.kind == "f":
        compared = ~np.isnan(expected)
        expected, got = expected[compared], got[compared]
        error = np.abs(got - expected) / np.maximum(1, np.abs(expected))
        if not np.all(error <= TOLERANCE):
            return f"{name} differs by {error.max():.1e}, over {TOLERANCE:g}"
    elif not np.array_equal(expected, got):
        return f"{name} differs"
    return None


def main(directory: str, path: str) -> int:
    """Run the cases and return the exit code."""
    problem = find_problem(directory, path)
    if problem:
        print(problem)
    return int(problem is not None)


def find_problem(directory: str, path: str) -> str | None:
    """Run the cases and describe the first output that differs.

    Args:
        directory: A SavedModel.
        path: The cases' files, without their suffixes.

    Returns:
        The difference, or `None` if there is none.
    """
    arrays = np.load(f"{path}.npz")
    entries = json.loads(Path(f"{path}.json").read_text())
    runners: dict[bool, Any] = {}
    for entry in entries:
        of_signature = entry["function"].startswith(SIGNATURES)
        if of_signature not in runners:
            # Run signatures in a session, as TensorFlow Serving does.
            load = _run_signatures if of_signature else _run_functions
            runners[of_signature] = load(directory)
        inputs = {k: arrays[v] for k, v in entry["inputs"].items()}
        name = entry["function"].removeprefix(SIGNATURES)
        outputs = runners[of_signature](name, inputs)
        for output, key in entry["expected"].items():
            title = f"{entry['function'] or '__call__'} {output}".strip()
            got = _as_bytes(np.asarray(outputs[output]))
            problem = _problem(title, arrays[key], got)
            if problem:
                return problem
    return None


def _run_signatures(directory: str) -> Any:
    from adapters_tf.export.session import ServingSession

    return ServingSession(directory).run


def _run_functions(directory: str) -> Any:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (registers its ops)

    loaded = tf.saved_model.load(directory)

    def run(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        function = getattr(loaded, name) if name else loaded
        inputs = {k: tf.constant(v) for k, v in inputs.items()}
        outputs = function(*([inputs.get("", inputs)] if inputs else []))
        outputs = outputs if isinstance(outputs, dict) else {"": outputs}
        # Some outputs are lists of tensors, which no case expects.
        return {k: v.numpy() for k, v in outputs.items() if tf.is_tensor(v)}

    return run


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
