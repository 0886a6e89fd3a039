"""Ablation files, and what is refused."""

import json
import math

import numpy as np
import pytest

from adapters_tf.errors import DataError
from adapters_tf.study.ablation import Ablation, read_ablations


def test_changes_are_relative_to_the_full_score(ablation):
    found = Ablation.from_dict(ablation)
    expected = [
        [0.0, -0.05, -0.5],
        [math.nan, -0.02, -0.375],
        [math.nan, math.nan, -0.25],
    ]
    np.testing.assert_allclose(found.changes(), expected, atol=1e-12)
    assert found.majority == 0.4
    assert found.change(found.majority) == pytest.approx(-0.5)


def test_of_a_score_of_0_changes_are_differences(ablation):
    found = Ablation.from_dict(ablation | {"full": {"accuracy": -0.1}})
    assert not found.relative
    assert found.changes()[0, 2] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "other"}, 'no "kind": "layer_ablation"'),
        ({"spans": []}, "it has no spans"),
        ({"full": {"f1": 0.5}}, "'accuracy' is missing"),
        ({"full": {"accuracy": math.nan}}, "accuracy must be a finite number"),
        ({"num_layers": 2}, "first=0, last=2, num_layers=2"),
        ({"num_layers": "3"}, "0 <= first <= last < num_layers"),
        ({"dev_rows": None}, "NoneType"),
    ],
)
def test_what_is_not_valid_is_named(ablation, tmp_path, change, message):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(ablation | change))
    with pytest.raises(DataError, match="JSON file that adapters-tf-ablate") as error:
        read_ablations([path])
    assert message in str(error.value) and "x.json" in str(error.value)


def test_a_span_is_in_it_once(ablation):
    ablation["spans"].append(ablation["spans"][1])
    with pytest.raises(ValueError, match=r"span \(0, 1\) is in it twice"):
        Ablation.from_dict(ablation)


@pytest.mark.parametrize("text", ["[1, 2]", "{", None])
def test_other_files(tmp_path, text):
    path = tmp_path / "y.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match="y.json"):
        read_ablations([path])
