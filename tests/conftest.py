"""A small base and small data, made on the spot: no network, no downloads."""

import collections
import functools
import importlib.metadata
import importlib.util
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import venv

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest  # noqa: E402
import requests  # noqa: E402

from adapters_tf.errors import UserError  # noqa: E402
from adapters_tf.export.self_check import (  # noqa: E402
    check_in_new_process,
    check_in_this_process,
    exports_checked_by,
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILDS = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", ".*", "tests")


def _beside(name):
    """Import a file beside this one: pytest's importlib mode leaves it off sys.path."""
    path = pathlib.Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Tests import `benchmarks`, which is not installed.
runpy.run_path(str(ROOT / "benchmarks" / "run.py"))["load_package"]()
encoders, pages, shared, small_data = map(
    _beside, ("encoders", "pages", "shared", "small_data")
)
make_preset, sentiment_rows = small_data.make_preset, small_data.sentiment_rows


def pytest_collection_modifyitems(items):
    """Files with slow tests first, so that two processes end at about the same time.

    pytest-xdist hands them out in this order, with --no-loadscope-reorder.
    """
    slow = collections.Counter(
        item.path for item in items if item.get_closest_marker("slow")
    )
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def shared_artefact(tmp_path_factory):
    """Function: `shared.SharedArtefacts.get` of this test run."""
    root = shared.run_directory(tmp_path_factory.getbasetemp()) / "shared"
    return shared.SharedArtefacts(root).get


@pytest.fixture(scope="session")
def tiny_preset(shared_artefact):
    """Directory of a small base with its vocabulary."""
    return str(shared_artefact("tiny_preset", lambda path: make_preset(path, seed=1)))


@pytest.fixture(scope="session")
def long_preset(shared_artefact):
    """A base of the same form with as many positions as the programs' defaults need."""
    return str(shared_artefact("long_preset", lambda path: make_preset(path, 1, 128)))


@pytest.fixture(scope="session")
def other_preset(shared_artefact):
    """A base of the same shape with other weights."""
    return str(shared_artefact("other_preset", lambda path: make_preset(path, seed=2)))


@pytest.fixture(scope="session", autouse=True)
def _checks_in_this_process():
    """Exports check themselves in the test's process: a new one takes seconds."""
    with exports_checked_by(check_in_this_process):
        yield


@pytest.fixture
def checks_in_new_process():
    """Exports check themselves in a new process, as users' exports do."""
    with exports_checked_by(check_in_new_process):
        yield


@pytest.fixture(scope="session")
def _pool():
    from adapters_tf.training.model_pool import ModelPool

    return ModelPool(6)


@pytest.fixture(scope="module")
def runs_share_models(_pool):
    """Runs of `train.cli` in this process take a model that is there and traced.

    They train it to the same bits as a new one: tests/training/test_model_pool.py.
    """
    from adapters_tf.bin import train
    from adapters_tf.training.devices import get_strategy
    from adapters_tf.training.run import run_job

    with pytest.MonkeyPatch.context() as patch:
        # Runs share a model only under the same strategy object.
        patch.setattr(train, "get_strategy", functools.cache(get_strategy))
        patch.setattr(train, "run_job", functools.partial(run_job, pool=_pool))
        yield


@pytest.fixture
def sentiment_csv(tmp_path):
    """A CSV file of 200 rows with the columns text and label."""
    return write_sentiment(tmp_path / "rows.csv")


def write_sentiment(path):
    lines = ["text,label", *(f"{text},{label}" for text, label in sentiment_rows(200))]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture(scope="session")
def wheel_file(shared_artefact):
    """A wheel built from a clean copy of the checkout."""

    def build(directory):
        # A copy: setuptools packs whatever an earlier build left in ./build.
        source = directory / "checkout"
        shutil.copytree(ROOT, source, ignore=BUILDS)
        command = [sys.executable, "-P", "-m", "pip", "wheel", "-q", "--no-deps"]
        setuptools = importlib.metadata.version("setuptools")
        if int(setuptools.partition(".")[0]) >= 77:
            command.append("--no-build-isolation")  # needs no network
        subprocess.run([*command, "-w", directory, source], check=True)

    (path,) = shared_artefact("wheel", build).glob("*.whl")
    return path


@pytest.fixture(scope="session")
def new_environment(tmp_path_factory):
    """Makes a virtual environment of the package index; skips where there is none.

    Takes lists of arguments of `pip install`, or tuples of such lists, of which the
    first is taken that finds its packages, and gives the environment's Python.
    """

    def make(*installations):
        directory = tmp_path_factory.mktemp("environment")
        venv.create(directory, with_pip=True)
        python = directory / "bin" / "python"
        for installation in installations:
            ways = installation if isinstance(installation, tuple) else (installation,)
            for arguments in ways:
                command = [python, "-m", "pip", "install", "-q", *arguments]
                done = subprocess.run(command, capture_output=True, text=True)
                if "Could not find a version" not in done.stderr:
                    break
            if "(from versions: none)" in done.stderr:
                lines = done.stderr.strip().splitlines()
                pytest.skip(f"needs the package index: {lines[-1]}")
            assert done.returncode == 0, done.stderr
        return python

    return make


@pytest.fixture
def call(monkeypatch):
    """Function: run a program with these arguments; returns its exit status."""

    def run(program, *args):
        monkeypatch.setattr(sys, "argv", [program.__name__, *map(str, args)])
        try:
            program.cli()
        except SystemExit as stop:
            return stop.code
        return 0

    return run


@pytest.fixture
def from_index():
    """Function: call this one; skips where the real package index gives no answer.

    It fills the user's own cache, so that 84 MB are not fetched for every run.
    """

    def call(function):
        try:
            return function()
        except UserError as error:
            if isinstance(error.__cause__, requests.RequestException):
                pytest.skip(f"needs the package index: {error}")
            raise

    return call


@pytest.fixture(scope="session")
def encoder_named(tmp_path_factory):
    """Function: the `encoders.Encoder` of this name, made once."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = encoders.make_encoder(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(params=encoders.NAMES)
def encoder(request, encoder_named):
    """Each encoder but BERT, as `encoders.Encoder`."""
    return encoder_named(request.param)
