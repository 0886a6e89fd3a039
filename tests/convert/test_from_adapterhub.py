"""AdapterHub's adapters compute here what they compute in the real library."""

import shutil

import numpy as np
import pytest
import safetensors.numpy

import adapters_tf
from adapters_tf.convert import convert_from_adapterhub
from adapters_tf.convert.torch_files import read_torch_tensors, write_torch_tensors
from adapters_tf.errors import UserError
from adapters_tf.models.task import Task

LENGTH = 12


@pytest.fixture
def convert(fixtures, base, tmp_path):
    """Function: convert a fixture, or a directory; returns the adapter directory."""

    def run(source, preset=base, **kwargs):
        out = tmp_path / "converted"
        kwargs = {"seq_length": LENGTH, "overwrite": True} | kwargs
        convert_from_adapterhub(fixtures / source, preset, out, **kwargs)
        return str(out)

    return run


def logits(directory, inputs, **kwargs):
    return np.asarray(adapters_tf.load_model(directory, **kwargs)(inputs))


def valid(values, inputs):
    """Without what stands at padding, where question answering has no logits."""
    return values * inputs["padding_mask"][:, :, None] if values.ndim == 3 else values


def test_outputs_are_those_of_the_real_library(case, convert, inputs, expected):
    result = valid(logits(convert(case), inputs), inputs)
    theirs = valid(expected[case], inputs)
    np.testing.assert_allclose(result, theirs.reshape(result.shape), rtol=0, atol=2e-5)
    assert np.abs(theirs).max() > 0.5


def test_what_is_known_of_the_task(convert):
    lines = []
    out = convert("houlsby", text_columns=("premise", "hypothesis"), say=lines.append)
    adapter = adapters_tf.load_adapter(out)
    assert Task.from_dict(adapter.task) == Task(
        "films",
        "classification",
        ("premise", "hypothesis"),
        ("bad", "so-so", "good"),
        ("accuracy", "f1_macro"),
    )
    # The configuration has none, so it is the base's, as in the library.
    assert adapter.head == {"num_classes": 3, "head_input": "pooled", "dropout": 0.2}
    assert adapter.tuning.method == "adapters_only"
    assert not any("layer_norm" in path for path in adapter.tensors)
    assert adapter.adapter == adapters_tf.AdapterConfig(8, activation="silu")
    assert adapter.training["adapter_config"]["config"]["reduction_factor"] == 2
    assert lines == [
        "Trained on 'tests/convert/fixtures/base', says adapter_config.json: preset "
        "must be that base.",
        "films: classification, bottleneck 8, silu, attention and feed_forward",
    ]
    adapter = adapters_tf.load_adapter(convert("pfeiffer"))
    assert adapter.task["labels"] == ["sad", "glad"]
    assert adapter.task["text_columns"] == ["text"]
    assert adapter.head["head_input"] == "cls"
    # 16 // 3 units.
    assert adapter.adapter == adapters_tf.AdapterConfig(
        5, activation="relu", reads_layer_norm=True, sublayers=("feed_forward",)
    )
    adapter = adapters_tf.load_adapter(convert("one_block"))
    assert adapter.kind == "regression" and adapter.adapter.layers == (1,)
    adapter = adapters_tf.load_adapter(convert("questions"))
    assert adapter.kind == "question_answering"
    assert adapter.task["text_columns"] == ["question", "context"]
    adapter = adapters_tf.load_adapter(convert("topics"))
    assert Task.from_dict(adapter.task) == Task(
        "topics",
        "multi_label",
        ("text",),
        ("art", "law", "sea"),
        ("f1_micro", "f1_macro"),
    )
    assert adapter.head == {
        "num_classes": 3,
        "head_input": "cls",
        "dropout": 0.2,
        "hidden_layer": True,
    }
    adapter = adapters_tf.load_adapter(convert("tags"))
    assert Task.from_dict(adapter.task) == Task(
        "ner",
        "token_classification",
        ("0",),
        ("B-LOC", "B-PER", "I-LOC", "I-PER", "O"),
        ("entity_f1", "entity_precision", "entity_recall"),
    )
    assert adapter.head == {"num_classes": 5, "dropout": 0.2}
    adapter = adapters_tf.load_adapter(convert("tags", text_columns=("2",)))
    assert adapter.task["text_columns"] == ["2"]


def test_predictions_from_texts(convert):
    from adapters_tf.training.predict_texts import predict_texts

    (prediction,) = predict_texts(convert("houlsby"), [["the film was not good"]])
    assert prediction["label"] in ("bad", "so-so", "good")


def test_predictions_of_labels_and_tags(convert):
    from adapters_tf.data.examples import WordExamples
    from adapters_tf.training.predict_texts import LoadedAdapter, predict_texts

    (prediction,) = predict_texts(convert("topics"), [["the film was not good"]])
    assert set(prediction["labels"]) <= {"art", "law", "sea"}
    assert set(prediction["probabilities"]) == {"art", "law", "sea"}
    words = ("the", "film", "was", "good")
    (prediction,) = LoadedAdapter(convert("tags")).predictions(WordExamples([words]))
    known = {"O", "B-LOC", "B-PER", "I-LOC", "I-PER"}
    assert len(prediction["tags"]) == 4 and set(prediction["tags"]) <= known


def test_a_base_with_the_tanh_form_is_refused_unless_asked_for(
    convert, fixtures, inputs, expected
):
    # keras-hub's own loader gives every Hugging Face directory the tanh form.
    tanh = str(fixtures / "base")
    with pytest.raises(UserError, match="exact GELU unless .*pass --tanh_gelu if its"):
        convert("houlsby", tanh)
    result = logits(convert("houlsby", tanh, tanh_gelu=True), inputs)
    of_gelu_new = expected["houlsby_on_gelu_new"]
    np.testing.assert_allclose(result, of_gelu_new, rtol=0, atol=2e-5)
    # The two forms can be told apart at this tolerance.
    assert np.abs(result - expected["houlsby"]).max() > 1e-4


def test_first_versions_of_the_library(convert, edited, fixtures, inputs, expected):
    # Other names of adapters, no bert. in front, the old format of torch.save, no
    # version (whose gelu was the tanh form), an invertible adapter that is not there.
    def age(config):
        del config["version"]
        config["type"] = "text_task"
        config["config"]["inv_adapter"] = "nice"

    source = edited("houlsby", "adapter_config.json", age)
    tensors = {
        name.removeprefix("bert.")
        .replace("attention.output.adapters", "attention.output.attention_adapters")
        .replace("attention_adapters", "attention_text_task_adapters")
        .replace("output.adapters", "output.layer_text_task_adapters"): value
        for name, value in read_torch_tensors(fixtures / "legacy.bin").items()
    }
    assert "encoder.layer.0.output.layer_text_task_adapters.films" in str(tensors)
    (source / "pytorch_adapter.bin").unlink()
    write_torch_tensors(tensors, source / "pytorch_adapter.bin")
    result = logits(convert(source), inputs)
    np.testing.assert_allclose(result, expected["houlsby"], rtol=0, atol=2e-5)
    shutil.copy(fixtures / "legacy.bin", source / "pytorch_adapter.bin")
    result = logits(convert(source), inputs)
    np.testing.assert_allclose(result, expected["houlsby"], rtol=0, atol=2e-5)


# The configuration of the fixture houlsby, as the first adapters on the hub have it.
FIRST = {
    "LN_after": False,
    "LN_before": False,
    "MH_Adapter": True,
    "Output_Adapter": True,
    "adapter_residual_before_ln": False,
    "attention_type": "sent-lvl-dynamic",
    "new_attention_norm": False,
    "non_linearity": "swish",
    "original_ln_after": True,
    "original_ln_before": False,
    "reduction_factor": 2,
    "residual_before_ln": True,
}


def test_the_very_first_configurations(convert, edited, inputs, expected):
    def age(config):
        del config["version"]
        config["config"] = FIRST

    result = logits(convert(edited("houlsby", "adapter_config.json", age)), inputs)
    np.testing.assert_allclose(result, expected["houlsby"], rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("changes", "version", "message"),
    [
        ({"new_attention_norm": True}, {}, "Received: new_attention_norm=True$"),
        ({"mh_adapter": True}, {}, "each must be there once. Received: mh_adapter twi"),
        ({}, {"version": "2.0"}, "fields of a bottleneck adapter. Received: LN_after="),
    ],
)
def test_first_configurations_that_are_refused(
    changes, version, message, convert, edited
):
    def age(config):
        del config["version"]
        config.update(config=FIRST | changes, **version)

    with pytest.raises(UserError, match=message):
        convert(edited("houlsby", "adapter_config.json", age))


@pytest.mark.parametrize(
    ("version", "name", "ours"),
    [
        (True, "gelu", "gelu"),
        (False, "gelu", "gelu_tanh"),
        (False, "gelu_orig", "gelu"),
        (True, "gelu_new", "gelu_tanh"),
        (True, "Swish", "silu"),
    ],
)
def test_activations(version, name, ours, convert, edited):
    def change(config):
        config["config"]["non_linearity"] = name
        if not version:
            del config["version"]

    source = edited("houlsby", "adapter_config.json", change)
    assert adapters_tf.load_adapter(convert(source)).adapter.activation == ours


def test_a_factor_for_each_block(convert, edited, inputs, expected):
    def change(config):
        config["config"]["reduction_factor"] = {"1": 2.0, "default": 1.9}

    source = edited("houlsby", "adapter_config.json", change)
    result = logits(convert(source), inputs)
    np.testing.assert_allclose(result, expected["houlsby"], rtol=0, atol=2e-5)


def test_a_head_without_a_bias(convert, edited, inputs, expected):
    source = edited(
        "houlsby", "head_config.json", lambda c: c["config"].update(bias=False)
    )
    file = source / "pytorch_model_head.bin"
    tensors = read_torch_tensors(file)
    bias = tensors.pop("heads.films.1.bias")
    file.unlink()
    write_torch_tensors(tensors, file)
    result = logits(convert(source), inputs)
    np.testing.assert_allclose(result, expected["houlsby"] - bias, rtol=0, atol=2e-5)


# What is refused.


def inner(**values):
    return lambda config: config["config"].update(values)


def test_a_dropout_of_the_heads_own(convert, edited):
    source = edited("houlsby", "head_config.json", inner(dropout_prob=0.3))
    assert adapters_tf.load_adapter(convert(source)).head["dropout"] == 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (inner(ln_before=True), "so ln_before must be False. Received: ln_before=True"),
        (inner(ln_after=True), "so ln_after must be False"),
        (inner(is_parallel=True), "in series with a sub-layer, so is_parallel must be"),
        (inner(use_gating=True), "so use_gating must be False"),
        (inner(phm_layer=True), "so phm_layer must be False"),
        (inner(stochastic_depth=0.1), "so stochastic_depth must be 0.0"),
        (inner(original_ln_after=False), "so original_ln_after must be True"),
        (inner(architecture="lora"), "so architecture must be None. Received: .*lora"),
        (inner(scaling="learned"), "scaling must be a number.*scaling='learned'"),
        (inner(scaling="channel"), "scaling must be a number.*scaling='channel'"),
        (inner(inv_adapter="nice"), "inv_adapter, which changes .* must be null"),
        (inner(non_linearity="leakyrelu"), "non_linearity must be one of relu.*leakyr"),
        (inner(non_linearity=None), "non_linearity must be one of.*=None"),
        (
            # Without a version a table of old names is looked into first.
            lambda c: (c.pop("version"), inner(non_linearity=["relu"])(c)),
            r"non_linearity must be one of.*=\['relu'\]",
        ),
        (inner(reduction_factor=0), "must be a positive number.*reduction_factor=0"),
        (inner(reduction_factor={"0": 2}), "positive number, or give one for each"),
        (
            inner(reduction_factor={"0": 2, "default": 4}),
            r"one size in this library.*sizes of \[4, 8\]",
        ),
        (inner(original_ln_before=True, residual_before_ln=False), "residual_before_l"),
        (inner(residual_before_ln="post_add"), "Received: .*residual_before_ln='post_"),
        (inner(mh_adapter=False, output_adapter=False), "at least one place of the ba"),
        (inner(leave_out=[0, 1]), "at least one place of the base"),
        (inner(leave_out=[2]), r"blocks are 0 to 1.*leave_out=\[2\]"),
        (inner(leave_out=1), "list of the numbers of blocks. Received: leave_out=1"),
        (inner(leave_out="01"), "list of the numbers of blocks.*leave_out='01'"),
        (inner(leave_out=[[0]]), r"list of the numbers of blocks.*leave_out=\[\[0\]\]"),
        (inner(reduction_factor=5e-324), "make a finite size. Received: .*=5e-324"),
        (inner(reduction_factor=float("nan")), "must be a positive number.*=nan"),
        (inner(reduction_factor=10**400), "bottleneck|missing|should be"),
        (inner(scaling=float("inf")), "scaling must be a number.*scaling=inf"),
        (inner(scaling=10**400), "scaling must be a number"),
        (inner(dropout="x"), "dropout must be a number from 0 to below 1.*'x'"),
        (inner(mh_adapter=1), "field mh_adapter, a bool. Received: mh_adapter=1"),
        (inner(kronecker=3), "fields of a bottleneck adapter. Received: kronecker=3"),
        (lambda c: c.update(hidden_size=768), "hidden_size must be the base's, 16"),
        (lambda c: c.update(model_type="roberta"), "model_type must be the base's"),
        (
            lambda c: c.pop("name"),
            "adapter_config.json must have the field name, a str",
        ),
        (
            lambda c: c.update(config="houlsby"),
            "field config, a dict. Received: .*houl",
        ),
    ],
)
def test_configurations_that_are_refused(change, message, convert, edited):
    source = edited("houlsby", "adapter_config.json", change)
    with pytest.raises(UserError, match=message):
        convert(source)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            inner(head_type="masked_lm"),
            "one of classification, multilabel_classification, question_answering, "
            "tagging. Received: head_type='masked_lm'",
        ),
        (inner(head_type=["tagging"]), r"Received: head_type=\['tagging'\]"),
        # The labels are bad, good and so-so.
        (inner(head_type="tagging"), "must be O, and B-NAME and I-NAME.*'so-so': 1"),
        (inner(layers=3), "must be one linear layer, or for texts.*, layers=3"),
        (
            inner(layers=2),
            "missing: heads.films.4.bias, heads.films.4.weight; heads.fi",
        ),
        (inner(dropout_prob="x"), "dropout_prob must be a number from 0 to below 1"),
        (inner(dropout_prob=1), "below 1. Received: dropout_prob=1"),
        (inner(num_labels=4), "heads.films.1.weight is float32 .3, 16. and should be"),
        (inner(label2id={"a": 0, "b": 1}), "each of the 3 classes one name.*'b': 1"),
        (inner(label2id={"a": 0, "b": 1, "c": 1}), "each of the 3 classes one name"),
        (
            lambda c: c.update(config=None),
            "must be a flexible head.*config=None of mod",
        ),
        (
            lambda c: c.update(name="other"),
            "missing: heads.other.1.bias, heads.other.1",
        ),
    ],
)
def test_heads_that_are_refused(change, message, convert, edited):
    source = edited("houlsby", "head_config.json", change)
    with pytest.raises(UserError, match=message):
        convert(source)


@pytest.mark.parametrize(
    ("case", "head_type"), [("questions", "question_answering"), ("tags", "tagging")]
)
def test_two_layers_on_tokens_are_refused(case, head_type, convert, edited):
    source = edited(case, "head_config.json", inner(layers=2))
    rule = f"or for texts two with tanh between.*head_type={head_type}, layers=2"
    with pytest.raises(UserError, match=rule):
        convert(source)


@pytest.mark.parametrize(
    "labels",
    [
        ("NOUN", "VERB", "INTJ", "IN", "O"),  # parts of speech
        ("B-LOC", "B-PER", "I-LOC", "I-PER", "X"),
        ("I-LOC", "B-PER", "B-LOC", "I-PER", "B-O"),
        ("I-LOC", "B-PER", "I-PER", "I-ORG", "O"),
        ("B-LOC", "B-PER", "E-LOC", "S-PER", "O"),
        tuple(f"LABEL_{i}" for i in range(5)),
    ],
)
def test_tags_that_are_not_of_entities_are_refused(labels, convert, edited):
    numbers = {label: i for i, label in enumerate(labels)}
    source = edited("tags", "head_config.json", inner(label2id=numbers))
    rule = (
        f"such as parts of speech, have no place. Received: .*{labels[0]}.*into head_"
    )
    with pytest.raises(UserError, match=rule):
        convert(source)


def test_two_layers_of_another_activation_are_refused(convert, edited):
    source = edited("two_layers", "head_config.json", inner(activation_function="relu"))
    with pytest.raises(UserError, match="layers=2, activation_function='relu'"):
        convert(source)


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        # A name that the real library passes over in silence.
        (
            lambda n: n.replace("films", "movies"),
            "missing: encoder.* not known: enc.*mo",
        ),
        (lambda n: n.replace("layer.1", "layer.2"), "not known: encoder.layer.2.atten"),
        (
            lambda n: n.replace("adapter_down.0", "adapter_down.1"),
            "adapter_down.1.bias",
        ),
    ],
)
def test_tensors_of_other_names_are_refused(rename, message, convert, edited):
    source = edited("houlsby", "adapter_config.json", lambda config: None)
    file = source / "pytorch_adapter.bin"
    tensors = read_torch_tensors(file)
    file.unlink()
    write_torch_tensors({rename(k): v for k, v in tensors.items()}, file)
    with pytest.raises(UserError, match=message):
        convert(source)


def test_tensors_that_are_more_or_fewer_are_refused(convert, edited):
    source = edited("questions", "adapter_config.json", lambda config: None)
    file = source / "adapter.safetensors"
    tensors = safetensors.numpy.load_file(file)
    name = "bert.encoder.layer.0.output.adapters.squad.adapter_up.bias"
    ln = "bert.encoder.layer.0.output.LayerNorm.weight"
    safetensors.numpy.save_file({**tensors, ln: np.ones(16, "float32")}, file)
    with pytest.raises(
        UserError, match="not known: encoder.layer.0.output.LayerNorm.w"
    ):
        convert(source)
    fewer = {k: v for k, v in tensors.items() if k != name}
    safetensors.numpy.save_file(fewer, file)
    with pytest.raises(UserError, match=f"missing: {name.removeprefix('bert.')}"):
        convert(source)
    twice = {**tensors, name.removeprefix("bert."): tensors[name]}
    safetensors.numpy.save_file(twice, file)
    with pytest.raises(UserError, match="twice, under two names"):
        convert(source)


def test_what_is_missing_is_named(convert, edited, tmp_path):
    with pytest.raises(UserError, match="adapter_config.json.* could not be read"):
        convert(tmp_path)
    source = edited("houlsby", "adapter_config.json", lambda config: None)
    (source / "head_config.json").unlink()
    with pytest.raises(UserError, match="has no head_config.json; save it with its he"):
        convert(source)
    (source / "pytorch_adapter.bin").unlink()
    with pytest.raises(UserError, match="adapter.safetensors or pytorch_adapter.bin"):
        convert(source)
    (source / "adapter_config.json").write_text("[" * 200_000)
    with pytest.raises(UserError, match="adapter_config.json' is damaged: .*recursion"):
        convert(source)
    (source / "adapter_config.json").write_text("[]")
    with pytest.raises(UserError, match="must hold a JSON object. Received: a list"):
        convert(source)


def test_other_arguments_that_are_refused(convert, base):
    with pytest.raises(UserError, match="one or two columns.*text_columns=a,b,c"):
        convert("houlsby", text_columns=("a", "b", "c"))
    with pytest.raises(UserError, match="two for questions. Received: text_columns=a"):
        convert("questions", text_columns=("a",))
    for columns in (("word",), ("0", "1")):
        with pytest.raises(UserError, match="must be one number, that of the words'"):
            convert("tags", text_columns=columns)
    with pytest.raises(UserError, match="seq_length must be at most 12"):
        convert("houlsby", seq_length=13)
    convert("houlsby")
    with pytest.raises(UserError, match="saved to a new directory"):
        convert("houlsby", overwrite=False)
