"""Adapters of every variant and heads with a hidden layer, from file to servable."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import UserError
from adapters_tf.export.adapter import export_adapter
from adapters_tf.export.bank import BankLayout, ExportedTask
from adapters_tf.export.combine import CombinedLayer
from adapters_tf.export.self_check import exports_checked_by
from adapters_tf.export.session import ServingSession
from adapters_tf.export.summary import describe_servable
from adapters_tf.export.versions import add_task, create_servable, remove_task
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.models.presets import preprocess_texts

CLASSES = {"kind": "classification", "labels": ["a", "b", "c"]}
TASKS = {
    "parallel": {**CLASSES, "adapter": AdapterConfig(4, parallel=True)},
    "deep": {**CLASSES, "adapter": AdapterConfig(3, depth=3, activation="tanh")},
    "pfeiffer": {
        **CLASSES,
        "adapter": AdapterConfig(
            5, reads_layer_norm=True, sublayers=("feed_forward",), activation="relu"
        ),
        "tuning": "adapters_only",
        "head": {"num_classes": 3, "hidden_layer": True},
    },
    "all": {
        "kind": "regression",
        "adapter": AdapterConfig(
            6, layer_norm=True, depth=2, parallel=True, layers=(1,), activation="silu"
        ),
    },
    "hidden": {
        "kind": "multi_label",
        "labels": ["x", "y"],
        "adapter": AdapterConfig(4),
        "head": {"num_classes": 2, "head_input": "mean", "hidden_layer": True},
    },
    "plain": {**CLASSES, "adapter": AdapterConfig(7)},
}
TEXTS = ["the film was good", "Só SAD .", "", "a very lovely plot and so it was . " * 5]


@pytest.fixture(scope="module")
def tasks(save_task):
    """Name -> `SavedTask`."""

    def save(seed, name):
        options = dict(TASKS[name])
        if "labels" in options:
            options.setdefault("head", {"num_classes": len(options["labels"])})
        return save_task(name, seed=seed, folder=f"variant_{name}", **options)

    return {name: save(seed, name) for seed, name in enumerate(TASKS)}


@pytest.fixture(scope="module")
def servable(base_dir, tasks, tmp_path_factory):
    """A servable of all of them, whose signatures on texts a test runs."""
    path = tmp_path_factory.mktemp("variants") / "servable"
    directories = {name: task.directory for name, task in tasks.items()}
    with exports_checked_by(lambda *_: None):
        create_servable(base_dir, directories, path)
    return path


def logits_of(task):
    inputs = preprocess_texts(task.model.preprocessor, tf.constant(TEXTS))
    return task.model(inputs, training=False).numpy()


def assert_outputs(outputs, task, logits, width=None):
    """The outputs of one row, or of all, are those of the Keras model."""
    kind = task.task["kind"]
    if kind == "regression":
        np.testing.assert_allclose(outputs["score"], logits, rtol=1e-5, atol=1e-5)
        return
    function = {
        "classification": lambda x: scipy.special.softmax(x, axis=-1),
        "multi_label": scipy.special.expit,
    }[kind]
    got = outputs["probabilities"][..., : logits.shape[-1]]
    np.testing.assert_allclose(got, function(logits), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TASKS)
def test_export_is_checked_against_keras(name, tasks, tmp_path, check_here):
    export_adapter(tasks[name].adapter_dir, tmp_path / "out")
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    trained = load_adapter(tasks[name].adapter_dir).tensors
    numbers = sum(int(np.prod(v.shape)) for v in loaded.trainable_variables)
    assert numbers == sum(value.size for value in trained.values())


@pytest.mark.parametrize("name", TASKS)
def test_combined_layer_computes_and_trains_it(
    name, tasks, base_dir, token_inputs, as_keras
):
    task, inputs = tasks[name], token_inputs()
    layer = CombinedLayer(base_dir, task.directory)
    expected = task.model(as_keras(inputs), training=False)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-5, atol=1e-5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs) ** 3)
    gradients = tape.gradient(loss, [v.value for v in layer.trainable_weights])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(task.model(as_keras(inputs), training=False) ** 3)
    own = [v.value for v in task.model.trainable_variables]

    def norm(values):
        return np.sqrt(sum(float(tf.reduce_sum(tf.square(v))) for v in values))

    assert norm(gradients) == pytest.approx(norm(tape.gradient(loss, own)), rel=1e-3)


def test_signatures_and_mixed_rows_are_those_of_keras(
    servable, tasks, token_inputs, as_keras
):
    texts = np.array([text.encode() for text in TEXTS], object)
    logits = {name: logits_of(task) for name, task in tasks.items()}
    inputs = token_inputs()
    with ServingSession(servable / "1") as session:
        for name, task in tasks.items():
            outputs = session.run(f"{name}_text", {"text": texts})
            assert_outputs(outputs, task, logits[name])
            expected = task.model(as_keras(inputs), training=False).numpy()
            assert_outputs(session.run(name, inputs), task, expected)
        rows = [(i, name) for i in range(len(TEXTS)) for name in tasks]
        for chosen in (rows, rows[::-1], rows[:1], [r for r in rows if r[1] == "deep"]):
            outputs = session.run(
                "mixed_text",
                {
                    "text": texts[[i for i, _ in chosen]],
                    "text_pair": np.array([b""] * len(chosen), object),
                    "task": np.array([name.encode() for _, name in chosen], object),
                },
            )
            assert set(outputs["status"]) == {b"ok"}
            for row, (i, name) in enumerate(chosen):
                one = {key: value[row] for key, value in outputs.items()}
                assert_outputs(one, tasks[name], logits[name][i])


def test_parameters_of_each_task_are_told(servable, tasks):
    for summary in describe_servable(servable).tasks:
        trained = load_adapter(tasks[summary.name].adapter_dir).tensors
        assert summary.parameters == sum(value.size for value in trained.values())
        assert summary.bottleneck_dim == TASKS[summary.name]["adapter"].bottleneck_dim


def test_tasks_are_added_and_removed(servable, tasks, check_here):
    """Out of the newest version's bank; writes check themselves against the tasks.

    Not all of them: a wrong bank would be wrong in the later versions too.
    """
    add_task(servable, "again", tasks["pfeiffer"].directory)
    for names in (("deep",), ("parallel", "all"), ("pfeiffer", "again", "hidden")):
        with exports_checked_by(lambda *_: None):
            for name in names[:-1]:
                remove_task(servable, name)
        remove_task(servable, names[-1])
    # What is left is held as plain tasks are.
    (task,) = describe_servable(servable).tasks
    assert task.name == "plain"


def test_a_base_of_an_older_version_says_what_to_do():
    config = AdapterConfig(4, depth=2)
    layout = BankLayout(["block"], [], 16)
    task = ExportedTask({"adapter": config.to_dict()}, {}, {})
    with pytest.raises(UserError, match="form 'bottleneck'.*export the base again"):
        layout.forms_for([task])
    assert layout.forms_for([ExportedTask({"adapter": None}, {}, {})])
