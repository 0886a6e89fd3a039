"""Heads of transformers' own classes; test_real_library.py has those it saves."""

import numpy as np
import pytest

import adapters_tf
from adapters_tf.convert import convert_from_adapterhub
from adapters_tf.convert.adapterhub import HEAD_WEIGHTS_FILES
from adapters_tf.convert.files import read_tensors
from adapters_tf.convert.torch_files import write_torch_tensors
from adapters_tf.errors import UserError

# Fixture -> the class whose head computes the same, and its layer.
STATIC = {
    "houlsby": ("BertForSequenceClassification", "classifier"),
    "one_block": ("BertForSequenceClassification", "classifier"),
    "questions": ("BertForQuestionAnswering", "qa_outputs"),
    "tags": ("BertForTokenClassification", "classifier"),
}


@pytest.fixture
def static(edited):
    """Function: a fixture with its head as if it were of a class of transformers."""

    def make(case, **changes):
        model_class, layer = STATIC[case]

        def change(config):
            inner = config.pop("config")
            config.update(config=None, name=None, model_class=model_class)
            config.update(num_labels=inner["num_labels"], label2id=inner["label2id"])
            config.update(changes)

        source = edited(case, "head_config.json", change)
        tensors = read_tensors(source, HEAD_WEIGHTS_FILES)
        for file in HEAD_WEIGHTS_FILES:
            (source / file).unlink(missing_ok=True)
        tensors = {f"{layer}.{k.split('.')[-1]}": v for k, v in tensors.items()}
        write_torch_tensors(tensors, source / HEAD_WEIGHTS_FILES[1])
        return source

    return make


@pytest.mark.parametrize("case", STATIC)
def test_a_static_head_is_the_flexible_one_that_computes_the_same(
    case, static, imported, base, tmp_path, inputs, expected
):
    convert_from_adapterhub(static(case), base, tmp_path / "out", seq_length=12)
    one = adapters_tf.load_adapter(imported(case))
    other = adapters_tf.load_adapter(tmp_path / "out")
    assert (one.kind, one.head, one.task) == (other.kind, other.head, other.task)
    for name, value in one.tensors.items():
        np.testing.assert_array_equal(other.tensors[name], value)
    logits = np.asarray(adapters_tf.load_model(tmp_path / "out")(inputs))
    mask = inputs["padding_mask"][:, :, None] if logits.ndim == 3 else 1
    theirs = expected[case].reshape(logits.shape)
    np.testing.assert_allclose(logits * mask, theirs * mask, rtol=0, atol=2e-5)


def test_the_number_of_labels_is_that_of_their_names(static, base, tmp_path):
    source = static("houlsby", num_labels=None)
    convert_from_adapterhub(source, base, tmp_path / "out", seq_length=12)
    task = adapters_tf.load_adapter(tmp_path / "out").task
    assert task["labels"] == ["bad", "so-so", "good"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_class": "BertForMaskedLM"},
            "or that of BertForSequenceClassification, .*'BertForMaskedLM'",
        ),
        ({"model_class": ["x"]}, r"Received: config=None of model_class=\['x'\]"),
        (
            {"model_class": "BertForQuestionAnswering"},
            "must have two outputs, start and end. Received: num_labels=3",
        ),
        # Without anything the library takes two.
        ({"num_labels": None, "label2id": None}, r"classifier.bias is float32 \(3,\)"),
        ({"num_labels": "3"}, "field num_labels, a positive whole number.*'3'"),
        ({"label2id": {"a": 0}}, "each of the 3 classes one name"),
    ],
)
def test_static_heads_that_are_refused(changes, message, static, base, tmp_path):
    source = static("houlsby", **changes)
    with pytest.raises(UserError, match=message):
        convert_from_adapterhub(source, base, tmp_path / "out", seq_length=12)
