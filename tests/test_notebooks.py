"""notebooks/: each .ipynb is its script, executed, and each script runs to its end."""

import os
import pathlib
import re
import subprocess
import sys

import jupytext
import nbformat
import pytest

from adapters_tf.data import demo

FOLDER = pathlib.Path(__file__).parent.parent / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
MAX_BYTES = 150_000
MACHINE_PATH = re.compile(r"/(?:tmp|home|root|Users|opt|usr|var|work)/|[A-Z]:\\")
parametrize = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


def read_notebook(script):
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4)


def texts_of(output):
    """What an output says, pictures left out."""
    yield output.get("text", "")
    for kind, content in output.get("data", {}).items():
        if not kind.startswith("image/"):
            yield str(content)


def test_every_notebook_has_its_script():
    names = ["1_train", "2_many_tasks", "3_export", "4_distributed"]
    assert [script.stem for script in SCRIPTS] == names
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == names


@parametrize
def test_notebook_is_its_script(script):
    expected = [(cell.cell_type, cell.source) for cell in jupytext.read(script).cells]
    found = [(cell.cell_type, cell.source) for cell in read_notebook(script).cells]
    assert found == expected, "docs/notebooks.md has the command that makes it anew"


@parametrize
def test_notebook_was_executed(script):
    notebook = read_notebook(script)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1))  # from top to bottom, once
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    for output in outputs:
        assert output.output_type != "error", output.traceback
        # A warning that a reader would wonder about.
        assert output.get("name") != "stderr", output.text
        for text in texts_of(output):
            assert not MACHINE_PATH.search(text), text


@parametrize
def test_notebook_is_small(script):
    assert script.with_suffix(".ipynb").stat().st_size < MAX_BYTES


@pytest.mark.checks
@pytest.mark.network
@pytest.mark.slow
@parametrize
def test_script_runs(script, from_index, tmp_path):
    from_index(demo.demo_encoder_dir)
    from_index(demo.demo_data_file)
    done = subprocess.run(
        [sys.executable, "-P", str(script)],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # All that it wrote is in its temporary directory.
    assert list(tmp_path.iterdir()) == []
