"""Adapters of version 0.1.0 load, predict and are served as they were then.

make_fixtures.py wrote the directories beside this file.
"""

import json
import pathlib

import numpy as np
import pytest

from adapters_tf.bin import predict
from adapters_tf.data.files import FileFormat
from adapters_tf.export import create_servable, export_base
from adapters_tf.export.rows import rows_of, signature_inputs
from adapters_tf.export.self_check import check_in_this_process, exports_checked_by
from adapters_tf.export.session import ServingSession
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.models.task import Task
from adapters_tf.tasks.file_task import load_file_examples
from adapters_tf.tasks.kinds import kind_named

FOLDER = pathlib.Path(__file__).parent
FLAGS = {
    "classification": ("rows.csv", "--text_columns=text"),
    "regression": ("scores.csv", "--text_columns=a,b"),
    "multi_label": ("labels.csv", "--text_columns=text"),
    "token_classification": ("words.conll",),
    "question_answering": ("questions.json",),
}


def expected(kind):
    lines = (FOLDER / kind / "predictions.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def assert_same(found, wanted):
    """Equal, but for rounding of floats."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert_same(found[name], value)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    else:
        assert found == wanted


@pytest.mark.parametrize("kind", FLAGS)
def test_predictions(kind, tiny_preset, call, tmp_path):
    file, *flags = FLAGS[kind]
    output = tmp_path / "predictions.jsonl"
    flags = [*flags, f"--file={FOLDER / file}", f"--preset={tiny_preset}"]
    adapter = f"--adapter={FOLDER / kind / 'adapter'}"
    assert call(predict, adapter, *flags, f"--output={output}") == 0
    found = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert_same(found, expected(kind))


@pytest.fixture(scope="module")
def session(tiny_preset, tmp_path_factory):
    """A servable of all five, as a server runs it."""
    folder = tmp_path_factory.mktemp("format_1")
    adapters = {kind: FOLDER / kind / "adapter" for kind in FLAGS}
    with exports_checked_by(check_in_this_process):
        export_base(tiny_preset, folder / "base", seq_length=32)
        create_servable(folder / "base", adapters, folder / "servable")
    return ServingSession(folder / "servable" / "1")


@pytest.mark.parametrize("kind", FLAGS)
def test_served(kind, session):
    task = Task.from_dict(load_adapter(FOLDER / kind / "adapter").task)
    file = FOLDER / FLAGS[kind][0]
    rows = list(rows_of(load_file_examples(file, FileFormat(task.text_columns), task)))
    inputs = {
        name: np.array([text.encode() for text in texts], object)
        for name, texts in signature_inputs(rows).items()
    }
    outputs = session.run(f"{kind}_text", inputs)
    records = [
        kind_named(kind).served_record(
            task, {k: v[i] for k, v in outputs.items()}, row.texts, row.row_id
        )
        for i, row in enumerate(rows)
    ]
    assert_same(records, expected(kind))
