"""A servable's signatures against the Keras models, row by row and mixed."""

import csv
import json

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from adapters_tf.export.op_check import unsupported_ops
from adapters_tf.export.session import ServingSession
from adapters_tf.export.warmup import replay_warmup
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.question_windows import question_windows

# As the servable has them: see conftest.py.
TASKS = ("topics", "entails", "likeness", "questions", "norms", "fixed")
TEXTS = [
    "the film was good",
    "Só SAD .",
    "",
    " \t\n",
    "a very lovely plot and so it was . " * 5,
    "awful",
    "中文 ? 😀 good",
    "it was bad , bad , bad and poor",
]
# Contexts of more than one window of 16 tokens, too.
PAIRS = [
    "a plot so great that the actor was fine",
    "Só the film was sad .",
    "good",
    "it was the actor and the film and the plot " * 4,
    "fine",
    "😀 中文 the plot was e\u0301 good 中",
    "very very sad",
    "so it was . " * 9,
]
BROKEN = [b"good \xff\xfe film", b"\xe4\xbd", b"a\x00very bad\x00", b"\xed\xa0\x80 it"]


@pytest.fixture(scope="module")
def version(servable):
    """The version that is looked at."""
    return servable / "1"


@pytest.fixture(scope="module")
def session(version):
    """Function of a signature's name and inputs: as TensorFlow Serving runs it."""
    with ServingSession(version) as session:
        yield session.run


@pytest.fixture(scope="module")
def loaded(version):
    """The same function, of what `tf.saved_model.load` gives."""
    signatures = tf.saved_model.load(str(version)).signatures

    def run(name, inputs):
        outputs = signatures[name](**{k: tf.constant(v) for k, v in inputs.items()})
        return {k: v.numpy() for k, v in outputs.items()}

    return run


@pytest.fixture(params=["session", pytest.param("loaded", marks=pytest.mark.slow)])
def run(request):
    """Both of them; each signature takes seconds the first time."""
    return request.getfixturevalue(request.param)


def strings(texts):
    """Texts as an array of UTF-8."""
    return np.array([t.encode() if isinstance(t, str) else t for t in texts], object)


def text_inputs(task, texts, pairs):
    """The inputs of a task's signature on texts."""
    inputs = {"text": strings(texts)}
    return inputs | ({"text_pair": strings(pairs)} if task.has_pair else {})


def mixed_inputs(rows):
    """The inputs of `mixed_text` for rows of text, second text and task."""
    columns = zip(*rows, strict=True)
    return dict(zip(("text", "text_pair", "task"), map(strings, columns), strict=True))


def of_logits(task, logits):
    """The outputs of a task on one text or a pair, for each row of logits."""
    labels = [label.encode() for label in task.task["labels"]]
    if not labels:
        return [{"score": score} for score in logits]
    return [
        {
            "label": labels[np.argmax(row)],
            "labels": labels,
            "probabilities": scipy.special.softmax(row.astype("float64")),
        }
        for row in logits
    ]


def expected_rows(task, texts, pairs):
    """What the Keras model says of each row of texts."""
    model = task.model
    if task.task["kind"] == "question_answering":
        return _answers(model, texts, pairs)
    columns = (tf.constant(strings(texts)), tf.constant(strings(pairs)))
    inputs = preprocess_texts(
        model.preprocessor, columns if task.has_pair else columns[0]
    )
    return of_logits(task, model(inputs, training=False).numpy())


def _answers(model, questions, contexts):
    windows = question_windows(questions, contexts, model.preprocessor)
    inputs = windows.features.batch(np.arange(len(windows.features)), multiple=1)
    logits = model(inputs, training=False).numpy()
    return [
        {
            "answer": best.text.encode(),
            "answer_start": best.start,
            "answer_end": best.start + len(best.text),
            "score": best.score,
        }
        for best in windows.answers(logits, contexts)
    ]


# What `mixed_text` gives where a row asks nothing of the kind.
BLANK = {"label": b"", "labels": [], "probabilities": [], "score": 0.0}
BLANK |= {"answer": b"", "answer_start": -1, "answer_end": -1}
MIXED_OUTPUTS = {*BLANK, "status", "kind"}


def assert_row(got, expected, width=None):
    """A row is what is expected; lists may be padded, up to `width` if given."""
    for name, value in expected.items():
        if name in ("labels", "probabilities"):
            padding = len(got[name]) - len(value)
            assert padding >= 0
            assert len(got[name]) == (width or len(got[name]))
            value = [*value, *[b"" if name == "labels" else 0] * padding]
        if name in ("probabilities", "score"):
            np.testing.assert_allclose(got[name], value, 1e-5, 1e-5)
        else:
            assert np.array_equal(got[name], value), (name, got, expected)


def rows_of(outputs):
    """Outputs by name -> one dictionary for each row."""
    count = {len(value) for value in outputs.values()}
    assert len(count) == 1
    return [{k: v[i] for k, v in outputs.items()} for i in range(count.pop())]


# === What a version holds ===


def test_signatures_and_description(version, servable, saved_tasks, base):
    signatures = tf.saved_model.load(str(version)).signatures
    names = {f"{task}{end}" for task in TASKS for end in ("", "_text")}
    assert set(signatures) == names | {"mixed_text", "serving_default"}
    about = json.loads((version / "assets.extra/servable.json").read_text())
    assert about["format_version"] == 1
    assert about["base_fingerprint"] == base.fingerprint().numpy().decode()
    assert about["seq_length"] == 24
    assert list(about["tasks"]) == list(TASKS)
    for name, entry in about["tasks"].items():
        for field in ("kind", "labels", "text_columns"):
            assert entry[field] == saved_tasks[name].task[field]


def test_stock_server_has_every_op(version):
    assert unsupported_ops(version) == {}


@pytest.mark.slow
def test_warmup_runs(version):
    seconds = replay_warmup(version)
    names = {f"{task}{end}" for task in TASKS for end in ("", "_text")}
    # The default is the signature for all tasks, under its second name.
    assert names <= set(seconds) <= names | {"mixed_text", "serving_default"}
    assert {"mixed_text", "serving_default"} & set(seconds)


# === One task's signatures ===


@pytest.mark.parametrize("name", TASKS)
def test_texts(name, run, saved_tasks):
    task = saved_tasks[name]
    got = rows_of(run(f"{name}_text", text_inputs(task, TEXTS, PAIRS)))
    for row, expected in zip(got, expected_rows(task, TEXTS, PAIRS), strict=True):
        assert set(row) == set(expected)
        assert_row(row, expected)


@pytest.mark.parametrize("name", TASKS)
def test_tokens(name, run, saved_tasks, token_inputs, as_keras):
    task, inputs = saved_tasks[name], token_inputs(7, 12, seed=4)
    got = run(name, inputs)
    logits = task.model(as_keras(inputs), training=False).numpy()
    if task.task["kind"] == "question_answering":
        assert set(got) == {"start_logits", "end_logits"}
        inside = inputs["input_mask"] == 1
        for place, output in enumerate(("start_logits", "end_logits")):
            expected = logits[:, :, place]
            np.testing.assert_allclose(
                got[output][inside], expected[inside], 1e-5, 1e-5
            )
            assert (got[output][~inside] < -9e8).all()
        return
    for row, expected in zip(rows_of(got), of_logits(task, logits), strict=True):
        assert set(row) == set(expected)
        assert_row(row, expected)


# === All tasks' signature ===


@pytest.fixture(scope="module")
def mixed_rows():
    """40 rows (text, second text, task): all tasks with all of the texts."""
    random = np.random.default_rng(6)
    names = [*TASKS, *random.choice(TASKS, 34)]
    return [
        (TEXTS[random.integers(8)], PAIRS[random.integers(8)], name) for name in names
    ]


def assert_mixed(run, rows, saved_tasks):
    """Each row of `mixed_text` is what the Keras model of its task says."""
    got = rows_of(run("mixed_text", mixed_inputs(rows)))
    for row, (text, pair, name) in zip(got, rows, strict=True):
        task = saved_tasks[name]
        assert set(row) == MIXED_OUTPUTS
        assert (row["status"], row["kind"]) == (b"ok", task.task["kind"].encode())
        assert_row(row, BLANK | expected_rows(task, [text], [pair])[0], 5)


def test_mixed_rows(session, loaded, mixed_rows, saved_tasks):
    assert_mixed(session, mixed_rows, saved_tasks)
    assert_mixed(loaded, mixed_rows, saved_tasks)


def test_rows_without_questions_and_questions_alone(session, mixed_rows, saved_tasks):
    texts = [row for row in mixed_rows if row[2] != "questions"]
    questions = [row for row in mixed_rows if row[2] == "questions"]
    assert len(texts) > 20 and len(questions) > 2
    assert_mixed(session, texts, saved_tasks)
    assert_mixed(session, questions, saved_tasks)


@pytest.mark.parametrize("name", TASKS)
def test_one_row(name, session, saved_tasks):
    assert_mixed(session, [(TEXTS[0], PAIRS[0], name)], saved_tasks)


def test_mixed_rows_are_those_of_the_own_signatures(session, saved_tasks):
    for name in TASKS:
        task = saved_tasks[name]
        own = session(f"{name}_text", text_inputs(task, TEXTS, PAIRS))
        rows = [(*columns, name) for columns in zip(TEXTS, PAIRS, strict=True)]
        mixed = session("mixed_text", mixed_inputs(rows))
        for output, value in own.items():
            got = mixed[output]
            if value.dtype.kind == "f":
                got = got[:, : value.shape[1]] if value.ndim == 2 else got
                np.testing.assert_allclose(got, value, 1e-5, 1e-5)
            elif value.ndim == 1:
                np.testing.assert_array_equal(got, value)


def test_default_is_the_mixed_signature(session, mixed_rows):
    inputs = mixed_inputs(mixed_rows)
    mixed, default = session("mixed_text", inputs), session("", inputs)
    for name, value in mixed.items():
        np.testing.assert_array_equal(default[name], value)


def test_rows_of_no_task_are_blank_and_harm_no_other(run, mixed_rows):
    good = mixed_rows[:12]
    bad = {
        1: ("", b"no task"),
        4: ("Topics", b"unknown task"),
        5: ("topics ", b"unknown task"),
        9: ("no such", b"unknown task"),
        12: (b"\xff", b"unknown task"),
        15: ("topics_text", b"unknown task"),
    }
    rows = list(good)
    for place, (name, _) in bad.items():
        rows.insert(place, ("so " * 5000, PAIRS[3], name))
    got = rows_of(run("mixed_text", mixed_inputs(rows)))
    for place, (_, status) in bad.items():
        row = got[place]
        assert (row["status"], row["kind"]) == (status, b"")
        assert_row(row, BLANK, 5)
    got = [row for place, row in enumerate(got) if place not in bad]
    alone = rows_of(run("mixed_text", mixed_inputs(good)))
    for row, expected in zip(got, alone, strict=True):
        assert row["status"] == b"ok"
        for name, value in expected.items():
            if name in ("probabilities", "score"):
                np.testing.assert_allclose(row[name], value, 1e-6, 1e-6)
            else:
                np.testing.assert_array_equal(row[name], value)


def test_batch_of_no_task_at_all(session):
    rows = [("a film", "good", name) for name in ("", "nothing")]
    got = rows_of(session("mixed_text", mixed_inputs(rows)))
    assert [row["status"] for row in got] == [b"no task", b"unknown task"]
    for row in got:
        assert_row(row, BLANK, 5)


# === Texts of all kinds ===


def test_bytes_that_are_not_utf8(session, saved_tasks):
    """They count as U+FFFD, as Python's decode has it; NUL as a space."""
    decoded = [b.decode("utf-8", "replace").replace("\0", " ") for b in BROKEN]
    contexts = [b.replace(b"\0", b" ") for b in BROKEN]
    pairs = [b.decode("utf-8", "replace") for b in contexts]
    for name in TASKS:
        task = saved_tasks[name]
        rows = expected_rows(task, decoded, pairs)
        own = session(f"{name}_text", text_inputs(task, BROKEN, contexts))
        columns = zip(BROKEN, contexts, [name] * len(BROKEN), strict=True)
        mixed = session("mixed_text", mixed_inputs(list(columns)))
        for got in (own, mixed):
            for row, expected in zip(rows_of(got), rows, strict=True):
                assert_row(row, expected)


def test_texts_of_many_scripts(session, saved_tasks, random_texts):
    texts = [t.replace("\0", " ") for t in random_texts(40, seed=8)]
    pairs = texts[::-1]
    for name in ("entails", "questions"):
        rows = [(*columns, name) for columns in zip(texts, pairs, strict=True)]
        got = rows_of(session("mixed_text", mixed_inputs(rows)))
        expected = expected_rows(saved_tasks[name], texts, pairs)
        for row, values in zip(got, expected, strict=True):
            assert_row(row, values)


def test_no_rows(session, token_inputs):
    """A batch of none has outputs of none, whatever else is asked in vain."""
    none = np.array([], object)
    for name in ("topics_text", "fixed_text"):
        assert {len(v) for v in session(name, {"text": none}).values()} == {0}
    two = {"text": none, "text_pair": none}
    for name in ("entails_text", "questions_text"):
        assert {len(v) for v in session(name, two).values()} == {0}
    outputs = session("mixed_text", two | {"task": none})
    assert set(outputs) == MIXED_OUTPUTS
    assert {len(value) for value in outputs.values()} == {0}
    for name in ("topics", "likeness", "questions"):
        outputs = session(name, token_inputs(0, 5))
        assert {len(value) for value in outputs.values()} == {0}


def test_real_texts(session, loaded, data_root):
    """The session loader and `tf.saved_model` agree on 200 rows of all tasks."""
    with open(data_root / "mrpc" / "dev.tsv", encoding="utf-8-sig") as file:
        lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    pairs = [(line[3], line[4]) for line in lines[1:201]]
    rows = [(*pair, TASKS[i % len(TASKS)]) for i, pair in enumerate(pairs)]
    assert len(rows) == 200
    for start in range(0, 200, 50):
        inputs = mixed_inputs(rows[start : start + 50])
        one, other = session("mixed_text", inputs), loaded("mixed_text", inputs)
        for name, value in one.items():
            if value.dtype.kind == "f":
                np.testing.assert_allclose(other[name], value, 1e-5, 1e-5)
            else:
                np.testing.assert_array_equal(other[name], value)
