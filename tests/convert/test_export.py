"""What was converted is exported and served like what was trained here."""

import numpy as np
import pytest
import tensorflow as tf

import adapters_tf
from adapters_tf.convert import convert_from_adapterhub
from adapters_tf.errors import UserError
from adapters_tf.export import export_adapter, export_base


@pytest.mark.slow
def test_an_adapter_of_adapterhub_as_a_saved_model(
    base, fixtures, tmp_path, inputs, expected
):
    export_base(base, tmp_path / "base", seq_length=12)
    exported = tf.saved_model.load(str(tmp_path / "base"))
    names = ("input_word_ids", "input_type_ids", "input_mask")
    arrays = (inputs[k] for k in ("token_ids", "segment_ids", "padding_mask"))
    tokens = {k: tf.constant(v) for k, v in zip(names, arrays, strict=True)}
    convert_from_adapterhub(fixtures / "tags", base, tmp_path / "ner", seq_length=12)
    export_adapter(tmp_path / "ner", tmp_path / "task")
    task = tf.saved_model.load(str(tmp_path / "task"))
    outputs = exported.encode(tokens, task.weights(), training=False)
    np.testing.assert_allclose(task.head(outputs), expected["tags"], rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("case", "received", "wanted"),
    [
        ("pfeiffer", "reads_layer_norm=True", "reads_layer_norm=False"),
        ("two_layers", "hidden_layer=True", "hidden_layer=False"),
    ],
)
def test_what_has_no_adapter_saved_model_and_what_works_instead(
    case, received, wanted, base, fixtures, tmp_path, inputs, expected
):
    adapter = tmp_path / case
    convert_from_adapterhub(fixtures / case, base, adapter, seq_length=12)
    with pytest.raises(
        UserError,
        match=f"Received: .*{received}. adapters-tf-predict, .* compute it, and "
        f"Keras's model.export writes it .* train one anew with {wanted}.",
    ):
        export_adapter(adapter, tmp_path / "task")
    model = adapters_tf.load_model(adapter)
    result = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(result, expected[case], rtol=0, atol=2e-5)
    model.export(tmp_path / "whole", verbose=False)
    whole = tf.saved_model.load(str(tmp_path / "whole"))
    result = whole.serve({k: tf.constant(v) for k, v in inputs.items()})
    np.testing.assert_allclose(result, expected[case], rtol=0, atol=2e-5)
