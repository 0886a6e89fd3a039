"""Several tasks of any form on one live model, by name."""

import gc

import keras
import numpy as np
import pytest

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.tasks.build import load_model
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.question_answering import AdapterQuestionAnswerer
from adapters_tf.tasks.regression import AdapterTextRegressor
from adapters_tf.tasks.token_classification import AdapterTokenClassifier

TEXTS = ["the film was good", "so very bad", "a fine plot", "poor"]
LABELS = [1, 0, 1, 0]


@pytest.fixture
def model(saved_preset):
    model = AdapterTextClassifier.from_preset(
        saved_preset, adapter=AdapterConfig(4), seq_length=12, num_classes=2
    )
    model.compile(run_eagerly=True)
    return model


def randomize(model, seed):
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.3, variable.shape))


def weights(model):
    return {v.path: v.numpy() for v in model.weights}


def assert_same(one, other):
    assert set(one) == set(other)
    for path, value in one.items():
        np.testing.assert_array_equal(value, other[path], err_msg=path)


FORMS = {
    "two": {"num_classes": 2},
    "five": {"num_classes": 5, "adapter": AdapterConfig(8)},
    "score": {"kind": "regression", "adapter": AdapterConfig(16)},
    "tags": {"kind": "token_classification", "num_classes": 3},
    "qa": {"kind": "question_answering", "adapter": AdapterConfig(4, layers=(1,))},
    "head": {"kind": "classification", "num_classes": 2, "tuning": "head"},
    "norms": {"num_classes": 3, "tuning": "layer_norm", "hidden_layer": True},
}
CLASSES = {
    "score": AdapterTextRegressor,
    "tags": AdapterTokenClassifier,
    "qa": AdapterQuestionAnswerer,
}


def test_tasks_of_every_form_keep_every_bit(model, inputs):
    x, first, kept = inputs(), model, {}
    for seed, (name, form) in enumerate(FORMS.items()):
        adapter = form.get("adapter", AdapterConfig(4))
        model.add_adapter(name, **{"tuning": "adapters", **form, "adapter": adapter})
        assert model is first and model.active_adapter == name
        assert type(model) is CLASSES.get(name, AdapterTextClassifier)
        randomize(model, seed)
        kept[name] = (weights(model), model(x).numpy())
    assert model.adapters == ("default", *FORMS)
    for name in [*FORMS, *reversed(FORMS), "two", "qa", "two"]:
        model.active_adapter = name
        assert type(model) is CLASSES.get(name, AdapterTextClassifier)
        assert_same(weights(model), kept[name][0])
        np.testing.assert_array_equal(model(x), kept[name][1])
        model.get_adapter()  # What it trains is what its tuning says.


def test_a_new_task_starts_from_the_base(model, adapted, inputs, plain):
    randomize(model, 1)
    model.add_adapter("new", num_classes=2, adapter=AdapterConfig(4, zero_init=True))
    outputs, expected = model.backbone(inputs()), plain(inputs())
    for key, value in outputs.items():
        np.testing.assert_array_equal(value, expected[key])


def test_paths_and_order_are_those_of_a_new_model(model, adapted):
    config = AdapterConfig(8, layers=(1,))
    model.add_adapter("new", num_classes=3, adapter=config)
    new = AdapterTextClassifier(adapted(config), num_classes=3)
    for mine, theirs in ((model, new), (model.backbone, new.backbone)):
        assert [v.path for v in mine.weights] == [v.path for v in theirs.weights]
        trained = [v.path for v in theirs.trainable_variables]
        assert [v.path for v in mine.trainable_variables] == trained


def test_training_one_task_moves_no_other(model, inputs):
    model.fit(TEXTS, LABELS, verbose=0)
    x, before = inputs(), model(inputs()).numpy()
    model.add_adapter("score", kind="regression")
    model.compile(run_eagerly=True)
    model.fit(TEXTS, [0.5, 1.0, 2.0, 3.0], verbose=0)
    score = model(x).numpy()
    model.active_adapter = "default"
    np.testing.assert_array_equal(model(x), before)
    model.compile(run_eagerly=True)
    model.fit(TEXTS, LABELS, verbose=0)
    model.active_adapter = "score"
    np.testing.assert_array_equal(model(x), score)


def test_no_retrace_within_a_form_and_one_between_forms(saved_preset, inputs):
    model = AdapterTextClassifier.from_preset(
        saved_preset, adapter=AdapterConfig(4), seq_length=12, num_classes=2
    )
    x, outputs = inputs(), {}
    model.add_adapter("other", num_classes=2)
    for name in ("default", "other"):
        model.active_adapter = name
        randomize(model, len(outputs))
        outputs[name] = model.predict(x, verbose=0)
    function = model.predict_function
    for name in ("default", "other", "default"):
        model.active_adapter = name
        np.testing.assert_array_equal(model.predict(x, verbose=0), outputs[name])
    assert model.predict_function is function
    assert function.experimental_get_tracing_count() == 1
    model.add_adapter("wide", num_classes=5)
    model.predict(x, verbose=0)
    assert model.predict_function is not function
    assert model.predict_function.experimental_get_tracing_count() == 1


def test_the_optimizer_starts_afresh(model):
    model.compile(keras.optimizers.Adam(0.25), run_eagerly=True, seed=3)
    model.add_adapter("other", num_classes=2)
    model.active_adapter = "default"
    model.fit(TEXTS, LABELS, verbose=0)
    optimizer = model.optimizer
    assert int(optimizer.iterations) == 1
    model.active_adapter = "other"  # of the same form
    assert model.optimizer is optimizer
    moments = [v for v in optimizer.variables if v.ndim]
    assert int(optimizer.iterations) == 0
    assert moments and not any(np.any(v.numpy()) for v in moments)
    model.add_adapter("five", num_classes=5)
    assert type(model.optimizer) is keras.optimizers.Adam
    assert float(model.optimizer.learning_rate) == 0.25
    assert (model.seed, model.run_eagerly) == (3, True)


def test_save_load_and_delete(model, tmp_path):
    model.fit(TEXTS, ["good", "bad", "good", "bad"], verbose=0)
    model.save_adapter(tmp_path / "films")
    saved = model.predict(TEXTS, verbose=0)
    assert load_adapter(tmp_path / "films").task == {
        "name": "films",
        "kind": "classification",
        "text_columns": ["text"],
        "labels": ["bad", "good"],
        "metrics": ["accuracy", "f1_macro"],
    }
    model.add_adapter("topics", num_classes=5, adapter=AdapterConfig(8))
    model.save_adapter(tmp_path / "elsewhere")
    assert load_adapter(tmp_path / "elsewhere").task["name"] == "topics"
    model.load_adapter(tmp_path / "films")
    model.load_adapter(tmp_path / "elsewhere", name="more")
    assert model.adapters == ("default", "topics", "films", "more")
    model.active_adapter = "films"
    assert model.labels == ("bad", "good")
    np.testing.assert_array_equal(model.predict(TEXTS, verbose=0), saved)
    model.delete_adapter("topics")
    assert model.adapters == ("default", "films", "more")
    with pytest.raises(UserError, match="are default, films, more. Received: 'topics'"):
        model.active_adapter = "topics"
    with pytest.raises(UserError, match="active adapter cannot be deleted"):
        model.delete_adapter("films")
    with pytest.raises(UserError, match="a name of its own. Received: 'films'"):
        model.load_adapter(tmp_path / "films")
    model.load_adapter(tmp_path / "films", overwrite=True)
    with pytest.raises(UserError, match="a name of its own. Received: 'more'"):
        model.add_adapter("more", num_classes=2)
    loaded = load_model(tmp_path / "films")
    loaded.compile(run_eagerly=True)
    assert loaded.labels == ("bad", "good")
    np.testing.assert_array_equal(loaded.predict(TEXTS, verbose=0), saved)


def test_each_task_has_its_longest_input(saved_preset, tmp_path):
    model = AdapterTextClassifier.from_preset(
        saved_preset, adapter=AdapterConfig(4), seq_length=4, num_classes=2
    )
    model.compile(run_eagerly=True)
    short = model.predict(TEXTS, verbose=0)
    other = AdapterTextClassifier.from_preset(
        saved_preset, adapter=AdapterConfig(4), seq_length=12, num_classes=2
    )
    other.compile(run_eagerly=True)
    other.save_adapter(tmp_path / "long")
    model.load_adapter(tmp_path / "long")
    assert model.preprocessor.sequence_length == 12
    np.testing.assert_array_equal(
        model.predict(TEXTS, verbose=0), other.predict(TEXTS, verbose=0)
    )
    model.active_adapter = "default"
    assert model.preprocessor.sequence_length == 4
    np.testing.assert_array_equal(model.predict(TEXTS, verbose=0), short)


def test_what_fails_changes_nothing(model, inputs, tmp_path):
    randomize(model, 1)
    before, outputs = weights(model), model(inputs()).numpy()
    for arguments, error in (
        ({"num_classes": 1}, ValueError),
        ({"num_classes": 2, "nonsense": 1}, TypeError),
        ({"num_classes": 2, "adapter": AdapterConfig(4, layers=(7,))}, ValueError),
        ({"kind": "nonsense"}, UserError),
        ({"num_classes": 2, "tuning": "full"}, UserError),
    ):
        with pytest.raises(error):
            model.add_adapter("new", **arguments)
        assert model.adapters == ("default",)
        assert_same(weights(model), before)
        np.testing.assert_array_equal(model(inputs()), outputs)


def test_an_adapter_of_another_base(model, adapted, plain, sizes, tmp_path):
    import keras_hub

    other = keras_hub.models.BertBackbone(**sizes)
    made = AdapterTextClassifier(
        type(model.backbone).from_backbone(other, AdapterConfig(8)), num_classes=2
    )
    made.save_adapter(tmp_path / "other")
    with pytest.raises(AdapterFileError, match="works only on the base"):
        model.load_adapter(tmp_path / "other")
    assert model.adapters == ("default",)


def test_a_changed_base_is_noticed(model):
    variable = next(v for v in model.backbone.weights if not v.trainable)
    variable.assign(variable + 1)
    with pytest.raises(UserError, match="starts from the base as it was loaded"):
        model.add_adapter("new", num_classes=2)


def test_one_live_model_for_each_backbone(adapted, inputs):
    backbone = adapted()
    model = AdapterTextClassifier(backbone, num_classes=2, name="first")
    with pytest.raises(UserError, match="of the live model 'first'. Add a task"):
        AdapterTextRegressor(backbone)
    model.add_adapter("score", kind="regression")
    with pytest.raises(UserError, match="of the live model 'first'. Add a task"):
        AdapterTextRegressor(backbone)
    del model
    gc.collect()
    AdapterTextRegressor(backbone)


def test_keras_lets_a_layer_be_replaced(adapted):
    """What `replace_adapters` needs of Keras's tracker, which is no public part."""
    block = adapted().encoder_blocks[0]
    old = block.attention_adapter
    with pytest.raises(ValueError, match="already built"):
        block.extra = keras.layers.Dense(2)
    count = len(block.weights)
    block.replace_adapters(AdapterConfig(4))
    assert old not in block._flatten_layers() and len(block.weights) == count
    block.replace_adapters(None)
    assert len(block.weights) == count - 8
    with pytest.raises(ValueError, match="already built"):
        block.extra = keras.layers.Dense(2)
