"""Running the programs in this process, and one run to compare others with."""

import contextlib
import subprocess
import sys
import time

import pytest

from adapters_tf.bin import train
from adapters_tf.export.self_check import exports_checked_by
from adapters_tf.training.checkpoints import find_checkpoints
from adapters_tf.training.run import run_job

_SECONDS = 300  # A machine may be busy.
_PROGRAM = "from adapters_tf.bin.train import cli; cli()"


@pytest.fixture(scope="module")
def without_self_checks():
    """Function: exports in its block are not compared in a new process.

    That is most of their time, and tests/export tests it.
    """

    @contextlib.contextmanager
    def without():
        with exports_checked_by(lambda directory, cases: None):
            yield

    return without


@pytest.fixture(scope="module", autouse=True)
def _runs_share_models(runs_share_models):
    """In all files here."""


@pytest.fixture
def use_new_models(monkeypatch):
    """Function: from now on runs make a new model each, as users' runs do."""
    return lambda: monkeypatch.setattr(train, "run_job", run_job)


@pytest.fixture(scope="session")
def write_rows():
    """Function: write a CSV file of this many rows, of two classes."""

    def write(path, count):
        text = "the film was so very good and the plot was a bit sad"
        lines = [f"{text} {i},{('no', 'yes')[i % 2]}" for i in range(count)]
        path.write_text("\n".join(["text,label", *lines]) + "\n")

    return write


@pytest.fixture(scope="session")
def run_flags(tiny_preset, shared_artefact, write_rows):
    """Function: the flags of a run of 11 steps an epoch, by default of 20 epochs.

    The run saves a checkpoint every six steps.
    """
    folder = shared_artefact("rows_of_runs", lambda d: write_rows(d / "rows.csv", 180))
    rows = folder / "rows.csv"

    def make(output_dir, *flags, epochs=20):
        return [
            f"--preset={tiny_preset}",
            f"--train_file={rows}",
            f"--epochs={epochs}",
            "--batch_size=16",
            "--seq_length=32",
            "--bottleneck_dim=4",
            "--steps_per_loop=2",
            "--checkpoint_interval=5",
            f"--output_dir={output_dir}",
            *flags,
        ]

    return make


@pytest.fixture(scope="session")
def whole(run_flags, shared_artefact):
    """Directory of the run with these flags that nothing happened to.

    Not to be changed.
    """

    def make(directory):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["train", *run_flags(directory / "run")])
            patch.setattr(train, "run_job", run_job)
            train.cli()

    return shared_artefact("whole_run", make) / "run"


@pytest.fixture
def start():
    """Function: start a run in a process, and wait until it has saved this step."""
    started = []

    def start(flags, step=1):
        process = subprocess.Popen(
            # -P: the installed package, not the folder in the checkout.
            [sys.executable, "-P", "-c", _PROGRAM, *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        (run,) = [f.split("=", 1)[1] for f in flags if f.startswith("--output_dir=")]
        deadline = time.monotonic() + _SECONDS
        while newest_step(run) < step:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        return process

    yield start
    for process in started:
        process.kill()  # in case the test failed
        process.communicate()


def newest_step(run):
    """The step of a run's newest checkpoint, 0 before the first."""
    found = find_checkpoints(f"{run}/checkpoints")
    return int(found[-1].rsplit("-", 1)[1]) if found else 0


@pytest.fixture
def check_goes_on(call, run_flags, whole, capsys):
    """Function: continue a run in this process, to the same bytes as `whole`."""

    def check(run):
        step = newest_step(run)
        capsys.readouterr()
        assert call(train, *run_flags(run)) == 0
        captured = capsys.readouterr()
        assert f"continuing from step {step} of 220" in captured.out
        assert "passed over" not in captured.err
        for name in ("adapter/adapter.safetensors", "history.json"):
            assert (run / name).read_bytes() == (whole / name).read_bytes()
        assert list((run / "checkpoints").glob("*_temp")) == []

    return check
