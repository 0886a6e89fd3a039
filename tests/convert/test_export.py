"""What was converted is exported and served like what was trained here."""

import numpy as np
import pytest
import tensorflow as tf

import adapters_tf
from adapters_tf.convert import convert_from_adapterhub
from adapters_tf.export import export_adapter, export_base


@pytest.mark.slow
def test_adapters_of_adapterhub_as_saved_models(
    base, fixtures, tmp_path, inputs, expected
):
    """Tags, Pfeiffer adapters, and the library's default head of two layers."""
    export_base(base, tmp_path / "base", seq_length=12)
    exported = tf.saved_model.load(str(tmp_path / "base"))
    names = ("input_word_ids", "input_type_ids", "input_mask")
    arrays = (inputs[k] for k in ("token_ids", "segment_ids", "padding_mask"))
    tokens = {k: tf.constant(v) for k, v in zip(names, arrays, strict=True)}
    for case in ("tags", "pfeiffer", "two_layers"):
        adapter, saved_model = tmp_path / case, tmp_path / f"{case}_saved_model"
        convert_from_adapterhub(fixtures / case, base, adapter, seq_length=12)
        export_adapter(adapter, saved_model)
        task = tf.saved_model.load(str(saved_model))
        outputs = exported.encode(tokens, task.weights(), training=False)
        found = task.head(outputs)
        np.testing.assert_allclose(found, expected[case], rtol=0, atol=2e-5)


@pytest.mark.parametrize("case", ["pfeiffer", "two_layers"])
def test_whole_models_as_saved_models(case, base, fixtures, tmp_path, inputs, expected):
    adapter = tmp_path / case
    convert_from_adapterhub(fixtures / case, base, adapter, seq_length=12)
    model = adapters_tf.load_model(adapter)
    result = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(result, expected[case], rtol=0, atol=2e-5)
    model.export(tmp_path / "whole", verbose=False)
    whole = tf.saved_model.load(str(tmp_path / "whole"))
    result = whole.serve({k: tf.constant(v) for k, v in inputs.items()})
    np.testing.assert_allclose(result, expected[case], rtol=0, atol=2e-5)
