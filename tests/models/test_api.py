"""The calls of the README and the notebooks, through `adapters_tf` alone."""

import logging
import shutil

import keras
import keras_hub
import numpy as np
import pytest

import adapters_tf
from adapters_tf._registration import import_all
from adapters_tf.preset_names import register_preset

TEXTS = ["the film was good", "so very bad", "a fine plot", "poor"]
NAMES = ["good", "bad", "good", "bad"]
SMALL = {"adapter": adapters_tf.AdapterConfig(4), "seq_length": 12}


@pytest.fixture
def demo(saved_preset):
    """`demo` is the small base, for this test."""
    real = adapters_tf._demo_directory
    register_preset("demo", lambda: saved_preset)
    yield saved_preset
    register_preset("demo", real)


def test_every_public_name_is_there():
    assert sorted(adapters_tf.__all__) == adapters_tf.__all__
    assert set(adapters_tf.__all__) <= set(dir(adapters_tf))
    for name in adapters_tf.__all__:
        assert getattr(adapters_tf, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = adapters_tf.nonsense


def test_the_session_of_the_readme(demo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = adapters_tf.AdapterTextClassifier.from_preset(
        "demo", num_classes=2, **SMALL
    )
    model.fit(TEXTS, NAMES, verbose=0)
    expected = model.predict(TEXTS, verbose=0)
    model.save_adapter("films")
    model.load_adapter("films")
    model.load_adapter("films", name="spam")
    model.active_adapter = "spam"
    assert model.adapters == ("default", "films", "spam")
    model.delete_adapter("films")
    model.add_adapter("topics", num_classes=5)
    model.fit(TEXTS, [0, 1, 2, 4], verbose=0)
    again = adapters_tf.load_model("films")
    assert adapters_tf.load_adapter("films").preset == "demo"
    np.testing.assert_allclose(again.predict(TEXTS, verbose=0), expected, atol=1e-6)
    assert adapters_tf.load_model("films", preset="demo").labels == ("bad", "good")


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("AdapterTextClassifier", {"num_classes": 3, "head_input": "mean"}),
        ("AdapterTextRegressor", {"dropout": 0.0}),
        ("AdapterMultiLabelClassifier", {"labels": ["a", "b"]}),
        ("AdapterTokenClassifier", {"labels": ["O", "B"]}),
        ("AdapterQuestionAnswerer", {}),
    ],
)
def test_a_saved_task_comes_back_with_its_head(
    demo, tmp_path, inputs, randomize, name, arguments
):
    cls = getattr(adapters_tf, name)
    model = cls.from_preset("demo", **SMALL, **arguments)
    assert type(model) is cls
    for layer in (*model.backbone.adapter_layers(), model.get_layer("logits")):
        randomize(layer)
    model.save_to_preset(tmp_path / "task")
    # An absolute path or a link would hide what is read from elsewhere.
    shutil.move(tmp_path / "task", tmp_path / "moved")
    read = cls.from_preset(str(tmp_path / "moved"))
    np.testing.assert_array_equal(read(inputs()), model(inputs()))
    assert read.get_config_of_adapter() == model.get_config_of_adapter()
    assert (read.labels, read.preset) == (model.labels, "demo")
    assert read.preprocessor.sequence_length == 12
    # keras-hub finds it by its backbone, and gives a plain preprocessor.
    backbone = adapters_tf.AdapterBackbone.from_preset(str(tmp_path / "moved"))
    assert type(backbone) is adapters_tf.BertAdapterBackbone
    with pytest.raises(adapters_tf.UserError, match="brings its adapters"):
        cls.from_preset(str(tmp_path / "moved"), tuning="head")


def test_a_saved_task_with_another_head(demo, tmp_path, inputs):
    cls = adapters_tf.AdapterTextClassifier
    model = cls.from_preset("demo", num_classes=2, **SMALL)
    model.save_to_preset(tmp_path / "task")
    five = cls.from_preset(str(tmp_path / "task"), num_classes=5, seq_length=12)
    assert five(inputs()).shape == (8, 5)
    score = adapters_tf.AdapterTextRegressor.from_preset(
        str(tmp_path / "task"), seq_length=12
    )
    assert score(inputs()).shape == (8,)


def test_a_trained_head_is_not_lost_silently(demo, tmp_path, inputs, caplog):
    cls, path = adapters_tf.AdapterTextClassifier, str(tmp_path / "task")
    model = cls.from_preset("demo", labels=["no", "yes"], **SMALL)
    model.save_to_preset(path)
    logging.getLogger("absl").propagate = True
    # The arguments of the saved head ask for that head.
    for head in ({"num_classes": 2}, {"labels": ["no", "yes"]}):
        read = cls.from_preset(path, seq_length=12, **head)
        np.testing.assert_array_equal(read(inputs()), model(inputs()))
    assert not caplog.records
    cls.from_preset(path, num_classes=3, seq_length=12)
    assert "starts with a new head" in caplog.records[-1].getMessage()
    caplog.clear()
    head = {"num_classes": 2}
    adapters_tf.build_model("classification", path, seq_length=12, head=head)
    assert "starts with a new head" in caplog.records[-1].getMessage()


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (
            {"num_classes": 1},
            adapters_tf.UserError,
            "must be 2 or more. Received: num_classes=1",
        ),
        ({"num_classes": 2, "foo": 1}, TypeError, "other arguments. Received: foo"),
        ({"adapter": 4}, adapters_tf.UserError, "adapter must be a configuration"),
        (
            {"tuning": "head", "adapter": adapters_tf.AdapterConfig(4)},
            adapters_tf.UserError,
            "'head' is a baseline without adapters",
        ),
        ({"seq_length": "12"}, adapters_tf.UserError, "whole number of 3 or more"),
        ({"seq_length": 0}, adapters_tf.UserError, "Received: seq_length=0"),
        ({"seq_length": -1}, adapters_tf.UserError, "Received: seq_length=-1"),
    ],
)
def test_wrong_arguments_come_before_loading(arguments, error, message):
    # The preset does not exist: an attempt to load it would say so.
    with pytest.raises(error, match=message):
        adapters_tf.AdapterTextClassifier.from_preset(
            "no_such_preset", **{"num_classes": 2} | arguments
        )


def test_a_backbone_and_a_preprocessor_of_ones_own(demo, adapted, preprocessor):
    cls = adapters_tf.AdapterTextClassifier
    backbone = adapted()
    model = cls.from_preset(
        "demo", num_classes=2, backbone=backbone, preprocessor=None, seq_length=12
    )
    assert model.backbone is backbone and model.preprocessor is None
    model = cls.from_preset("demo", num_classes=2, preprocessor=preprocessor, **SMALL)
    assert model.preprocessor is preprocessor
    random = cls.from_preset("demo", load_weights=False, num_classes=2, **SMALL)
    assert random.backbone.fingerprint != model.backbone.fingerprint


def test_backbones_from_presets(demo):
    for cls in (adapters_tf.BertAdapterBackbone, adapters_tf.AdapterBackbone):
        backbone = cls.from_preset("demo", adapter=adapters_tf.AdapterConfig(4))
        assert type(backbone) is adapters_tf.BertAdapterBackbone
        assert backbone.adapter == adapters_tf.AdapterConfig(4)
    assert adapters_tf.load_backbone("demo").adapter is None
    assert adapters_tf.load_preprocessor("demo", 12).sequence_length == 12


def test_what_is_refused_says_what_would_work(demo, plain, tokenizer):
    cls, refused = adapters_tf.AdapterTextClassifier, adapters_tf.UserError
    with pytest.raises(refused, match="needs num_classes=..., or labels="):
        cls.from_preset("demo")
    with pytest.raises(refused, match="a kind of task: AdapterMultiLabelClassifier,"):
        adapters_tf.AdapterModel.from_preset("demo", num_classes=2)
    with pytest.raises(refused, match="from_backbone of its class with adapters"):
        cls(plain, num_classes=2)
    with pytest.raises(refused, match="Received: a str.*load_backbone loads one"):
        cls("demo", num_classes=2)
    with pytest.raises(TypeError, match="num_clases"):
        cls.from_preset("demo", num_classes=2, num_clases=2, **SMALL)
    with pytest.raises(refused, match="at most 12, the number of positions"):
        cls.from_preset("demo", num_classes=2)
    with pytest.raises(adapters_tf.DataError, match="names of the 2 classes"):
        cls.from_preset("demo", num_classes=2, labels=["a", "b", "c"], **SMALL)


def test_a_new_process_reads_a_keras_file(adapted, preprocessor, tmp_path, run_python):
    cls = adapters_tf.AdapterTextClassifier
    model = cls(adapted(), 2, preprocessor, labels=["no", "yes"])
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "expected.npy", model.predict(TEXTS, verbose=0))
    code = f"texts = {TEXTS}"
    code += """
import sys
import adapters_tf
assert "keras" not in sys.modules and "tensorflow" not in sys.modules
import keras
import numpy as np
model = keras.saving.load_model(sys.argv[1] + "/model.keras")
assert type(model).__name__ == "AdapterTextClassifier"
assert model.labels == ("no", "yes")
outputs = model.predict(texts, verbose=0)
np.testing.assert_allclose(outputs, np.load(sys.argv[1] + "/expected.npy"), atol=1e-6)
# Keras's own loader is left as it was.
assert keras.__spec__.loader is keras.__loader__
assert type(keras.__loader__).__module__.startswith("_frozen_importlib")
"""
    run_python(code, tmp_path)


@pytest.mark.parametrize(
    "imports",
    [
        "import keras, adapters_tf",
        "import adapters_tf, keras_hub",
        "import adapters_tf; adapters_tf.AdapterConfig()",
    ],
)
def test_classes_are_registered_in_any_order_of_imports(imports, run_python):
    run_python(
        f"{imports}; import keras; "
        "find = keras.saving.get_registered_object; "
        "assert find('adapters_tf>AdapterTextClassifier'); "
        "assert find('adapters_tf>RobertaAdapterBackbone')"
    )


def test_a_backend_that_is_not_for_us_stays_usable(monkeypatch):
    with pytest.raises(ModuleNotFoundError):
        import_all(["no_such_module"])
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    import_all(["no_such_module"])


def test_a_weights_file(demo, inputs, randomize, tmp_path):
    model, other = (
        adapters_tf.AdapterTextClassifier.from_preset("demo", num_classes=2, **SMALL)
        for _ in range(2)
    )
    randomize(model, seed=3)
    model.save_weights(tmp_path / "m.weights.h5")
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(other(inputs()), model(inputs()))


def test_keras_hub_loads_the_backbone_of_a_saved_task(demo, tmp_path, inputs):
    model = adapters_tf.AdapterTextRegressor.from_preset("demo", **SMALL)
    model.save_to_preset(tmp_path / "task")
    backbone = keras_hub.models.Backbone.from_preset(str(tmp_path / "task"))
    assert isinstance(backbone, keras.Model)
    np.testing.assert_array_equal(
        backbone(inputs())["sequence_output"],
        model.backbone(inputs())["sequence_output"],
    )
