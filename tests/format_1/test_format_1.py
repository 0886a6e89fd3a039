"""Adapters of version 0.1.0 load, predict and are served as they were then.

make_fixtures.py wrote the directories beside this file.
"""

import json
import pathlib

import pytest

from adapters_tf.bin import predict

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
