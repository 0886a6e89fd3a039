"""Fixtures of the real `adapters` library, and that library where it is at hand."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import adapters_tf
from adapters_tf.convert import convert_from_adapterhub, convert_huggingface

# A Python that has the library; by default one is made, of the package index.
PEER = os.environ.get("ADAPTERS_TF_PEER_PYTHON")
# On Linux PyPI has PyTorch with CUDA alone, which is gigabytes. The build for CPUs is
# where pip is configured to look, or at PyTorch's own index.
TORCH = "torch==2.13.0" if sys.platform == "darwin" else "torch==2.13.0+cpu"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
LENGTH = 12
# The adapters that make_fixtures.py made with the real library.
CASES = (
    "houlsby",
    "pfeiffer",
    "one_block",
    "questions",
    "two_layers",
    "topics",
    "tags",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if "peer" in item.keywords and not PEER:
            item.add_marker(pytest.mark.network)


@pytest.fixture(scope="session")
def fixtures():
    """The folder that make_fixtures.py wrote."""
    return Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def cases():
    """Names of the adapters in `fixtures`."""
    return CASES


@pytest.fixture(params=CASES)
def case(request):
    """One of `cases`."""
    return request.param


@pytest.fixture(scope="session")
def peer_python(new_environment):
    """A Python that has the real library."""
    if PEER:
        yield PEER
        return
    torch = ([TORCH], [TORCH, "--index-url", TORCH_INDEX])
    python = new_environment(torch, ["adapters==1.3.0"])
    yield python
    shutil.rmtree(python.parent.parent)  # most of a gigabyte


@pytest.fixture(scope="session")
def peer(peer_python):
    """Function: run code in the Python of the real library, with arguments."""

    def run(code, *arguments):
        here = str(Path(__file__).parent)
        return subprocess.run(
            [peer_python, "-c", code, *map(str, arguments)],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": here},
        ).stdout

    return run


@pytest.fixture(scope="session")
def expected(fixtures):
    """Name -> array: the inputs, and what the real library computes for them."""
    return safetensors.numpy.load_file(fixtures / "expected.safetensors")


@pytest.fixture(scope="session")
def inputs(expected):
    """The inputs for our models."""
    return {
        "token_ids": expected["input_ids"],
        "segment_ids": expected["token_type_ids"],
        "padding_mask": expected["attention_mask"],
    }


@pytest.fixture(scope="session")
def base(fixtures, tmp_path_factory):
    """The fixtures' base as a preset, with its exact GELU."""
    path = tmp_path_factory.mktemp("base") / "preset"
    convert_huggingface(fixtures / "base", path)
    return str(path)


@pytest.fixture
def edited(fixtures, tmp_path):
    """Function: a copy of a fixture with changes to one of its JSON files."""

    def edit(name, file, change):
        path = tmp_path / name
        if not path.exists():
            shutil.copytree(fixtures / name, path)
        config = json.loads((path / file).read_text())
        change(config)
        (path / file).write_text(json.dumps(config))
        return path

    return edit


@pytest.fixture(scope="session")
def numpy_bert():
    """The module numpy_bert.py."""
    path = Path(__file__).with_name("numpy_bert.py")
    spec = importlib.util.spec_from_file_location("numpy_bert", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def write_checkpoint():
    """Function: write variables as TensorFlow 1 does."""

    def write(path, variables):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            for name, value in variables.items():
                tf.compat.v1.get_variable(name, initializer=value)
            session.run(tf.compat.v1.global_variables_initializer())
            tf.compat.v1.train.Saver().save(session, str(path))
        return path

    return write


@pytest.fixture
def imported(fixtures, base, tmp_path):
    """Function: an adapter directory of a fixture."""

    def run(case, preset=base, **kwargs):
        out = tmp_path / f"imported_{case}"
        convert_from_adapterhub(
            fixtures / case, preset, out, seq_length=LENGTH, **kwargs
        )
        return out

    return run


@pytest.fixture
def made(base, tmp_path):
    """Function: a model with random adapters, and its adapter directory."""

    def make(task, adapter, head=None, preset=base, tuning="adapters_only"):
        model = adapters_tf.build_model(
            task["kind"], preset, adapter, tuning, seq_length=LENGTH, head=head
        )
        random = np.random.default_rng(3)
        for variable in model.trainable_variables:
            variable.assign(random.normal(0, 0.3, variable.shape))
        about = {"preset": preset, "task": task, "seq_length": LENGTH}
        path = tmp_path / f"made_{len(list(tmp_path.iterdir()))}"
        adapters_tf.save_adapter(model.get_adapter(**about), path)
        return model, path

    return make
