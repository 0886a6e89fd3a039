"""Every kind of task, from a file of rows to the answers of a servable."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.files import FileFormat
from adapters_tf.errors import UserError
from adapters_tf.export import create_servable, export_adapter
from adapters_tf.export.base_functions import hub_outputs
from adapters_tf.export.rows import rows_of, signature_inputs
from adapters_tf.export.session import ServingSession
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.tasks.base import Kind
from adapters_tf.tasks.build import build_model
from adapters_tf.tasks.file_task import (
    label_kinds,
    load_file_examples,
    load_file_task,
    stream_file_examples,
)
from adapters_tf.tasks.kinds import (
    compute_metrics,
    kind_named,
    kinds,
    majority_baseline,
    register_kind,
)
from adapters_tf.training.predict_texts import LoadedAdapter

TEXTS = ["the film was good", "a bad plot", "so very fine", "sad actor and film"]


def _csv(labels, times=4):
    """Rows of texts, each with a word of its own, and these labels."""
    rows = [
        f"{text} {label} x{i},{label}"
        for i in range(times)
        for text, label in zip(TEXTS, labels, strict=True)
    ]
    return "\n".join(["text,label", *rows]) + "\n"


def _questions():
    return [
        {"context": f"{text} {i} .", "question": f"what {i} ?", "answer": text[-4:]}
        for i, text in enumerate(TEXTS)
    ]


FORMAT = FileFormat(("text",), "label")
# Kind -> suffix, content, format and label_kind of a file that is taken for it.
FILES: dict[str, tuple[str, str, FileFormat | None, str]] = {
    "classification": (".csv", _csv(["pos", "neg", "pos", "neg"]), FORMAT, "auto"),
    "regression": (".csv", _csv(["1.5", "0.5", "1.0", "0.0"]), FORMAT, "auto"),
    "multi_label": (
        ".csv",
        _csv(["a;b", "", "a", "b"]),
        dataclasses.replace(FORMAT, label_separator=";"),
        "auto",
    ),
    "token_classification": (
        ".conll",
        "\n\n".join(
            "\n".join(
                f"{word} {'B-w' if i else 'O'}" for i, word in enumerate(t.split())
            )
            for t in TEXTS
        ),
        FORMAT,
        "auto",
    ),
    "question_answering": (".json", json.dumps(_questions()), None, "auto"),
}


@dataclasses.dataclass(frozen=True)
class Way:
    """What there is of a kind on the way from its file."""

    path: str
    format: FileFormat | None
    data: Any
    adapter_dir: str


@pytest.fixture(scope="module")
def ways(tiny_preset, tmp_path_factory):
    """Kind -> `Way`, with random weights, none of them near zero."""
    root = tmp_path_factory.mktemp("kinds")
    made = {}
    for name, (suffix, content, format, label_kind) in FILES.items():
        path = root / f"{name}{suffix}"
        path.write_text(content)
        data = load_file_task(path, None, format, label_kind, dev_fraction=0.25)
        head = kind_named(name).head_arguments(data.task, {})
        model = build_model(
            name, tiny_preset, AdapterConfig(4), seq_length=16, head=head
        )
        random = np.random.default_rng(0)
        for variable in model.trainable_variables:
            value = random.normal(0, 0.3, variable.shape)
            variable.assign(value + variable.path.endswith("gamma"))
        task = data.task.to_dict()
        adapter = model.get_adapter(task=task, preset=tiny_preset, seq_length=16)
        save_adapter(adapter, root / name)
        made[name] = Way(str(path), format, data, str(root / name))
    return made


@pytest.fixture(scope="module")
def session(ways, base_dir, checks_here, tmp_path_factory):
    """A session with a servable of a task of each kind."""
    root = tmp_path_factory.mktemp("kinds_servable")
    for name, way in ways.items():
        export_adapter(way.adapter_dir, root / name)
    tasks = {name: str(root / name) for name in ways}
    create_servable(base_dir, tasks, root / "servable")
    with ServingSession(root / "servable" / "1") as found:
        yield found


def test_every_kind_has_a_file_here():
    assert set(FILES) == set(kinds())
    assert set(label_kinds()) == {"auto", "class", "number", "multi", "tags"}


@pytest.mark.parametrize("name", FILES)
def test_files(ways, name):
    way, kind = ways[name], kind_named(name)
    task, data = way.data.task, way.data
    assert (task.kind, task.metrics) == (name, kind.metrics)
    assert kind.model_class.kind == name and kind.title.replace(" ", "_") == name
    assert len(data.train) > len(data.dev) > 0
    labelled = load_file_examples(way.path, way.format, task)
    assert len(labelled) == len(data.train) + len(data.dev)
    stream = stream_file_examples(way.path, way.format, task)
    (window,) = stream.windows(100)
    assert list(window.iterate_texts()) == list(labelled.iterate_texts())
    assert len(stream) == len(labelled)
    assert list(labelled.take(np.array([1])).iterate_texts()) == [
        list(labelled.iterate_texts())[1]
    ]


@pytest.mark.parametrize("name", FILES)
def test_evaluation(ways, name):
    way, kind = ways[name], kind_named(name)
    loaded = LoadedAdapter(way.adapter_dir)
    dev = way.data.dev
    prepared = loaded.prepare(dev)
    assert kind.note(prepared, 16)
    records = loaded.predictions(dev)
    json.dumps(records)
    assert len(records) == len(dev)
    predicted = kind.predictions(loaded.task, records)
    assert loaded.metrics(dev) == compute_metrics(
        loaded.task, predicted, dev.references
    )
    baseline = majority_baseline(loaded.task, way.data.train.references, dev.references)
    assert list(baseline) == list(kind.metrics)
    task = dataclasses.replace(loaded.task, metrics=("other",))
    with pytest.raises(ValueError, match="A metric must be one of .* 'other'"):
        compute_metrics(task, predicted, dev.references)


@pytest.mark.parametrize("name", FILES)
def test_served_answers_are_the_records(ways, session, name):
    way, kind = ways[name], kind_named(name)
    loaded = LoadedAdapter(way.adapter_dir)
    rows = load_file_examples(way.path, way.format, loaded.task)
    served_rows = list(rows_of(rows))
    inputs = _arrays(signature_inputs(served_rows))
    outputs = session.run(f"{name}_text", inputs)
    records = [
        kind.served_record(
            loaded.task, {k: v[i] for k, v in outputs.items()}, row.texts, row.row_id
        )
        for i, row in enumerate(served_rows)
    ]
    assert _rounded(records) == _approximately(loaded.predictions(rows))

    # A row of another task between two of its own changes nothing.
    count = len(served_rows)
    other = "regression" if name == "classification" else "classification"
    pairs = inputs.get("text_pair", np.array([""] * count, object))
    mixed = session.run(
        "mixed_text",
        {
            "text": np.insert(inputs["text"], 1, "good"),
            "text_pair": np.insert(pairs, 1, ""),
            "task": np.insert(np.array([name] * count, object), 1, other),
        },
    )
    assert set(mixed["status"]) == {b"ok"}
    assert mixed["kind"][1] == other.encode()
    for output, expected in outputs.items():
        own = np.delete(mixed[output], 1, axis=0)
        if own.ndim == 2:
            own = own[:, : expected.shape[1]]
        if own.dtype.kind == "f":
            np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("name", FILES)
def test_examples_for_clients_are_rows_of_the_kind(ways, session, name):
    columns = len(ways[name].data.task.text_columns)
    rows = kind_named(name).example_rows("short", "a long text", columns)
    assert len(rows) == 2 and {len(row) for row in rows} == {columns}
    session.run(f"{name}_text", _arrays(signature_inputs([*map(_Row, rows)])))


@pytest.mark.parametrize("head_input", ["cls", "pooled", "mean"])
def test_exported_head_with_a_hidden_layer(tiny_preset, head_input):
    head = {"num_classes": 3, "hidden_layer": True, "head_input": head_input}
    model = build_model("classification", tiny_preset, seq_length=16, head=head)
    random = np.random.default_rng(0)
    for variable in model.head_variables():
        variable.assign(random.normal(0, 0.3, variable.shape))
    tokens = preprocess_texts(model.preprocessor, tf.constant(TEXTS))
    outputs = hub_outputs(model.backbone(tokens, training=False))
    outputs["input_mask"] = tokens["padding_mask"]
    tensors = {v.path: v.value for v in model.head_variables()}
    assert len(tensors) == 4
    found = kind_named(model.kind).head_function(model.head_config())(outputs, tensors)
    np.testing.assert_allclose(found, model(tokens, training=False), 1e-5, 1e-5)


def test_registry():
    with pytest.raises(UserError, match="kind must be one of classification, .*'new'"):
        kind_named("new")
    with pytest.raises(ValueError, match="name must be new. Received: 'regression'"):
        register_kind(kind_named("regression"))
    assert all(isinstance(kind, Kind) for kind in kinds().values())


class _Row(tuple):
    texts = property(tuple)


def _arrays(inputs):
    return {name: np.array(texts, object) for name, texts in inputs.items()}


def _rounded(value):
    """JSON values as pytest.approx takes them: no dictionaries in lists."""
    if isinstance(value, dict):
        return [x for k, v in value.items() for x in (k, *_rounded(v))]
    if isinstance(value, list):
        return [x for v in value for x in _rounded(v)]
    return [value]


def _approximately(value):
    return [
        pytest.approx(x, rel=1e-4, abs=1e-5) if isinstance(x, float) else x
        for x in _rounded(value)
    ]
