"""The model card: what it says, and that no text of a task breaks it."""

import dataclasses
import shlex

import numpy as np
import pytest
import yaml

from adapters_tf import preset_names
from adapters_tf.adapters import AdapterConfig
from adapters_tf.bin import evaluate, predict
from adapters_tf.errors import UserError
from adapters_tf.models import model_card as model_cards
from adapters_tf.models.adapter import Adapter, check_exportable
from adapters_tf.models.adapter_file import load_adapter, save_adapter
from adapters_tf.models.model_card import model_card
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.build import build_model

ADAPTER = Adapter(
    tensors={"logits/kernel": np.zeros((3, 2)), "logits/bias": np.zeros(2)},
    kind="classification",
    adapter=AdapterConfig(4),
    tuning=Tuning("adapters"),
    head={"num_classes": 2},
    base_fingerprint="sha256:00",
    task={"name": "sst2", "labels": ["neg", "pos"], "text_columns": ["sentence"]},
    metrics={"accuracy": 0.84321},
    preset="hf://someone/bert",
    seq_length=64,
    training={"learning_rate": 1e-3, "seed": 3, "label_column": None},
    versions={"keras": "3.15.1"},
)


def header_of(card):
    _, header, _ = card.split("---\n", 2)
    return yaml.safe_load(header)


def test_card():
    card = model_card(ADAPTER)
    assert header_of(card) == {
        "library_name": "adapters-tf",
        "tags": ["adapters", "keras", "tensorflow"],
        "pipeline_tag": "text-classification",
        "base_model": "someone/bert",
        "metrics": ["accuracy"],
    }
    lines = card.splitlines()
    for line in (
        "# Adapter for sst2",
        "| text columns | `sentence` |",
        "| labels | `neg`, `pos` |",
        "| longest input | 64 tokens |",
        "| base's fingerprint | `sha256:00` |",
        "| accuracy | 0.8432 |",
        "| `learning_rate` | `0.001` |",
        "| keras, version | 3.15.1 |",
        "- What is beyond 64 tokens is not read.",
    ):
        assert line in lines
    assert ": 8 parameters, trained with tuning `adapters`" in card
    assert "label_column" not in card


def test_card_of_an_adapter_that_knows_nothing():
    bare = dataclasses.replace(
        ADAPTER, adapter=None, task={}, metrics={}, preset=None, training={}
    )
    card = model_card(dataclasses.replace(bare, versions={}, kind="regression"))
    assert "# Adapter for unnamed task" in card
    assert "None is recorded." in card and "Nothing is recorded of the run." in card
    assert set(header_of(card)) == {"library_name", "tags"}
    # No program takes it.
    assert "adapters-tf-" not in card
    assert "It was saved without its task, which the programs need." in card
    assert 'model = adapters_tf.load_model("DIR", "PRESET")\n' in card


@pytest.mark.parametrize("preset", ["demo", "tiny"])
def test_the_python_on_a_card_loads_the_model(
    preset, tiny_preset, tmp_path, monkeypatch
):
    monkeypatch.setitem(preset_names._DIRECTORIES, "demo", lambda: tiny_preset)
    head = {"num_classes": 2}
    model = build_model("classification", tiny_preset, seq_length=8, head=head)
    name = "demo" if preset == "demo" else str(tiny_preset)
    save_adapter(model.get_adapter(preset=name), tmp_path / "DIR")
    _, python = (tmp_path / "DIR" / "README.md").read_text().split("```python\n")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(python.split("```")[0], names)
    texts = ["one two", "three"]
    np.testing.assert_array_equal(names["model"].predict(texts), model.predict(texts))


def test_labels_do_not_break_a_table():
    task = {"name": "a\n# b", "labels": ["x|y", "`z`", "two\nlines"]}
    card = model_card(dataclasses.replace(ADAPTER, task=task))
    assert "# Adapter for a # b" in card.splitlines()
    assert "| labels | `x\\|y`, `'z'`, `two lines` |" in card.splitlines()


def commands_of(card):
    """The words of each command line on a card."""
    _, block = card.split("```sh\n")
    return [shlex.split(line) for line in block.split("```")[0].splitlines()]


def changed(**changes):
    return dataclasses.replace(ADAPTER, **changes)


TAGS = changed(
    kind="token_classification",
    head={"num_classes": 3},
    task={"name": "ner", "labels": ["O", "B-PER", "I-PER"], "text_columns": ["0"]},
)
QUESTIONS = changed(
    kind="question_answering",
    head={},
    task={"name": "squad", "text_columns": ["question", "context"]},
)
SETS = changed(kind="multi_label")


@pytest.mark.parametrize(
    ("adapter", "tag", "suffix", "limits"),
    [
        (
            ADAPTER,
            "text-classification",
            ".csv",
            [
                "- What is beyond 64 tokens is not read.",
                "- It answers with one of its labels on any text, however unlike those "
                "of training.",
            ],
        ),
        (
            SETS,
            "text-classification",
            ".csv",
            [
                "- It answers with the labels that it gives a probability of 0.5 or "
                "more on any text, however unlike those of training."
            ],
        ),
        (
            TAGS,
            "token-classification",
            ".conll",
            [
                "- Words beyond 64 tokens are not read; they count as O.",
                "- It answers with one of its tags for each word of any text, however "
                "unlike those of training.",
            ],
        ),
        (
            QUESTIONS,
            "question-answering",
            ".json",
            ["- Longer contexts are read in windows of 64 tokens."],
        ),
    ],
)
def test_kinds(adapter, tag, suffix, limits):
    card = model_card(adapter)
    assert header_of(card)["pipeline_tag"] == tag
    assert commands_of(card) == [
        [
            "adapters-tf-predict",
            "--adapter=DIR",
            f"--file=new{suffix}",
            "--output=predictions.jsonl",
        ],
        ["adapters-tf-evaluate", "--adapter=DIR", f"--file=test{suffix}"],
        ["adapters-tf-export", "adapter", "--adapter=DIR", "--output_dir=A"],
    ]
    assert set(limits) <= set(card.splitlines())


def test_rows_are_read_as_those_of_training():
    training = {
        "task": None,
        "train_file": "data/mine.TSV",
        "label_column": "my label",
        "label_separator": "|",
        "label_columns": None,
        "delimiter": "\\t",
        "encoding": "latin-1",
        "header": False,
        "quoting": True,
    }
    predict_line, evaluate_line, _ = commands_of(model_card(changed(training=training)))
    of_file = ["--delimiter=\\t", "--encoding=latin-1", "--noheader", "--quoting"]
    assert predict_line[2:] == [
        "--file=new.TSV",
        *of_file,
        "--output=predictions.jsonl",
    ]
    of_labels = ["--label_column=my label", "--label_separator=|"]
    assert evaluate_line[2:] == ["--file=test.TSV", *of_labels, *of_file]
    several = changed(training={"label_columns": ["a", "b"], "quoting": False})
    _, evaluate_line, _ = commands_of(model_card(several))
    assert evaluate_line[3:] == ["--label_columns=a,b", "--noquoting"]
    # The programs take both lines.
    assert evaluate.define().flags(evaluate_line) == ["adapters-tf-evaluate"]
    assert predict.define().flags(predict_line) == ["adapters-tf-predict"]


def test_defaults_that_are_left_out_are_those_of_the_programs():
    flags = evaluate.define().flags
    for name, default in (model_cards.FORMAT_FLAGS | model_cards.LABEL_FLAGS).items():
        assert flags[name].default == default, name
    flags = predict.define().flags
    for name, default in model_cards.FORMAT_FLAGS.items():
        assert flags[name].default == default, name


def test_named_tasks_are_evaluated_on_their_dev_rows():
    named = {"task": "sst2", "train_file": None, "data_dir": None}
    card = model_card(changed(training=named))
    assert commands_of(card)[1] == ["adapters-tf-evaluate", "--adapter=DIR", "--tfds"]
    card = model_card(changed(training=named | {"data_dir": "some/glue"}))
    assert commands_of(card)[1][2:] == ["--data_dir=DATA"]
    assert "and the folder of the task's public files as `DATA`:" in card
    # What a study calls a task may be a file of its owner's.
    card = model_card(changed(training={"task": "mine", "method": "adapters"}))
    assert commands_of(card)[1][2:] == ["--file=test.csv"]


@pytest.mark.parametrize(
    "changes",
    [
        {"tuning": Tuning("full"), "adapter": None},
        {"tuning": Tuning("top_n", 2), "adapter": None},
        {"adapter": AdapterConfig(4, activation="exponential")},
        {"task": {"name": "sst2"}},
    ],
)
def test_no_export_where_exports_refuse_it(changes):
    adapter = changed(**changes)
    with pytest.raises(UserError):
        check_exportable(adapter)
    commands = commands_of(model_card(adapter))
    assert [words[0] for words in commands] == [
        "adapters-tf-predict",
        "adapters-tf-evaluate",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"head": {"num_classes": 2, "hidden_layer": True}},
        {"adapter": AdapterConfig(4, reads_layer_norm=True)},
        {"adapter": AdapterConfig(4, parallel=True)},
    ],
)
def test_export_of_every_variant(changes):
    adapter = changed(**changes)
    check_exportable(adapter)
    assert "adapters-tf-export" in {c[0] for c in commands_of(model_card(adapter))}


def test_form_and_rows():
    card = model_card(
        changed(
            tuning=Tuning("top_n", 2),
            head={"num_classes": 2, "head_input": "pooled"},
            training={"train_rows": 6000, "dev_rows": 1234},
        )
    )
    lines = card.splitlines()
    assert "On the run's 1,234 dev rows, as fractions:" in lines
    for line in (
        '| tuning | `{"method": "top_n", "top_n": 2}` |',
        '| head | `{"head_input": "pooled", "num_classes": 2}` |',
        "| `train_rows` | `6000` |",
    ):
        assert line in lines
    (about,) = [line for line in lines if line.startswith("| adapter | ")]
    assert '"bottleneck_dim": 4, ' in about and "reduction_factor" not in about


def test_nothing_ends_a_code_block():
    card = model_card(changed(training={"label_column": "a\n```\n# b"}))
    assert "\n````sh\n" in card and "# b'\n" in card.split("````")[1]


def test_card_lies_beside_the_adapter_and_nothing_needs_it(tmp_path):
    save_adapter(ADAPTER, tmp_path / "a")
    saved = load_adapter(tmp_path / "a")
    card = tmp_path / "a" / "README.md"
    # The versions that are recorded are those on the card.
    assert card.read_text() == model_card(saved)
    assert f"| tensorflow, version | {saved.versions['tensorflow']} |" in (
        card.read_text()
    )
    card.unlink()
    np.testing.assert_array_equal(
        load_adapter(tmp_path / "a").tensors["logits/kernel"], np.zeros((3, 2))
    )
