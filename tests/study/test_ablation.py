"""Removed adapters against a model that never had them; ablation files; the program."""

import itertools
import json
import math
import sys

import numpy as np
import pytest

from adapters_tf.adapters import AdapterConfig
from adapters_tf.bin import ablate
from adapters_tf.data.examples import Examples
from adapters_tf.errors import DataError
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.study.ablation import (
    Ablation,
    ablate_layers,
    read_ablations,
    removed_adapters,
)
from adapters_tf.tasks.build import build_model

TEXTS = ["the film was good", "a bad plot", "so very fine", "sad actor", "it was"] * 3
LABELS = np.array([1, 0, 1, 0, 1] * 3, np.int32)
TASK = {
    "name": "t",
    "kind": "classification",
    "text_columns": ["text"],
    "labels": ["neg", "pos"],
    "metrics": ["accuracy"],
}


def trained_model(preset, **config):
    """A model whose adapters are far from the identity."""
    model = build_model(
        "classification",
        preset,
        AdapterConfig(bottleneck_dim=4, **config),
        seq_length=16,
        head={"num_classes": 2},
    )
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if "adapter" in variable.path or "logits" in variable.path:
            variable.assign(random.normal(0, 0.7, variable.shape))
        else:
            variable.assign(variable.numpy() + random.normal(0, 0.2, variable.shape))
    return model


def without(preset, model, layers):
    """The same LayerNorms and head, with adapters in these blocks only."""
    config = None
    if layers:
        config = AdapterConfig(4, layers=layers, layer_norm_layers=(0, 1))
    other = build_model(
        "classification",
        preset,
        config,
        "adapters" if layers else "layer_norm",
        seq_length=16,
        head={"num_classes": 2},
    )
    values = {v.path: v for v in model.trainable_variables}
    for variable in other.trainable_variables:
        variable.assign(values[variable.path])
    return other


KEPT = {(0, 0): [1], (1, 1): [0], (0, 1): []}  # removed span -> blocks with adapters


@pytest.fixture(scope="module")
def trained(tiny_preset):
    """A trained model, and for each removed span what one without it predicts."""
    model = trained_model(tiny_preset)
    expected = {
        span: without(tiny_preset, model, kept).predict(TEXTS, verbose=0)
        for span, kept in KEPT.items()
    }
    return model, expected


@pytest.mark.parametrize("config", [{}, {"layer_norm": True, "depth": 2}])
def test_removed_is_as_if_never_there_and_put_back(tiny_preset, trained, config):
    model, expected = trained
    if config:
        model = trained_model(tiny_preset, **config)
    before = model.predict(TEXTS, verbose=0)
    for span in KEPT:
        with removed_adapters(model, *span):
            removed = model.predict(TEXTS, verbose=0)
        assert np.abs(removed - before).max() > 0.05
        if not config:
            np.testing.assert_allclose(removed, expected[span], atol=1e-5)
    np.testing.assert_array_equal(model.predict(TEXTS, verbose=0), before)


@pytest.fixture(scope="module")
def adapter_dir(trained, tiny_preset, tmp_path_factory):
    adapter = trained[0].get_adapter(task=TASK, preset=tiny_preset, seq_length=16)
    path = tmp_path_factory.mktemp("ablation") / "adapter"
    save_adapter(adapter, path)
    return str(path)


def accuracy(logits):
    return float((logits.argmax(-1) == LABELS).mean())


def test_every_span_once_with_its_metric(adapter_dir, trained):
    model, expected = trained
    seen = []
    rows = Examples((TEXTS,), LABELS)
    found = ablate_layers(adapter_dir, rows, on_span=seen.append)
    spans = {(s["first"], s["last"]): s["dev"]["accuracy"] for s in found["spans"]}
    assert list(spans) == [(0, 0), (0, 1), (1, 1)] and seen == found["spans"]
    full = accuracy(model.predict(TEXTS, verbose=0))
    assert found["full"] == {"accuracy": pytest.approx(full)}
    for span, logits in expected.items():
        assert spans[span] == pytest.approx(accuracy(logits))
    assert (found["num_layers"], found["dev_rows"]) == (2, 15)
    assert found["base_fingerprint"] == model.backbone.fingerprint
    assert found["majority_baseline"] == {"accuracy": pytest.approx(9 / 15)}


def test_program_writes_a_file_that_the_report_reads(
    adapter_dir, tmp_path, monkeypatch, capsys
):
    rows = tmp_path / "dev.csv"
    names = ("neg", "pos")
    lines = [f"{t},{names[y]}" for t, y in zip(TEXTS, LABELS, strict=True)]
    rows.write_text("\n".join(["text,label", *lines]) + "\n")
    output = tmp_path / "a.json"
    command = ["layers", f"--adapter={adapter_dir}", f"--file={rows}"]

    def run(*flags):
        monkeypatch.setattr(sys, "argv", ["adapters-tf-ablate", *command, *flags])
        with pytest.raises(SystemExit) as stop:
            ablate.cli()
            sys.exit(0)
        return stop.value.code, capsys.readouterr()

    code, printed = run(f"--output={output}")
    assert code == 0
    assert "without block 0: accuracy" in printed.out
    assert "without blocks 0 to 1: accuracy" in printed.out
    assert "with all: accuracy" in printed.out
    (ablation,) = read_ablations([output])
    written = json.loads(output.read_text())
    assert ablation.task == "t" and len(written["spans"]) == 3

    code, printed = run(f"--output={output}")
    assert code == 2 and "must be a new file" in printed.err
    code, printed = run(f"--output={tmp_path / 'no' / 'a.json'}")
    assert code == 2 and "a directory that exists" in printed.err
    code, printed = run()
    assert code == 2 and "--output is needed" in printed.err


def test_init_scale_trains_each_scale(
    tiny_preset, sentiment_csv, tmp_path, monkeypatch, capsys
):
    flags = [
        f"--preset={tiny_preset}",
        f"--train_file={sentiment_csv}",
        "--seq_length=16",
        "--bottleneck_dim=4",
        "--epochs=1",
        "--seeds=0",
        "--initializer_stddev=1e-7,1e-2",
        f"--output_dir={tmp_path / 'out'}",
    ]
    monkeypatch.setattr(sys, "argv", ["adapters-tf-ablate", "init_scale", *flags])
    with pytest.raises(SystemExit) as stop:
        ablate.cli()
        sys.exit(0)
    assert stop.value.code == 0
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    scales = [json.loads(line)["initializer_stddev"] for line in lines]
    assert sorted(scales) == [1e-7, 1e-2]
    assert len(list(itertools.chain(tmp_path.glob("out/trials/*/adapter")))) == 1


def test_changes_are_relative_to_the_full_score(ablation):
    found = Ablation.from_dict(ablation)
    expected = [
        [0.0, -0.05, -0.5],
        [math.nan, -0.02, -0.375],
        [math.nan, math.nan, -0.25],
    ]
    np.testing.assert_allclose(found.changes(), expected, atol=1e-12)
    assert found.majority == 0.4
    assert found.change(found.majority) == pytest.approx(-0.5)


def test_of_a_score_of_0_changes_are_differences(ablation):
    found = Ablation.from_dict(ablation | {"full": {"accuracy": -0.1}})
    assert not found.relative
    assert found.changes()[0, 2] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "other"}, 'no "kind": "layer_ablation"'),
        ({"spans": []}, "it has no spans"),
        ({"full": {"f1": 0.5}}, "'accuracy' is missing"),
        ({"full": {"accuracy": math.nan}}, "accuracy must be a finite number"),
        ({"num_layers": 2}, "first=0, last=2, num_layers=2"),
        ({"num_layers": "3"}, "0 <= first <= last < num_layers"),
        ({"dev_rows": None}, "NoneType"),
    ],
)
def test_what_is_not_valid_is_named(ablation, tmp_path, change, message):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(ablation | change))
    with pytest.raises(DataError, match="JSON file that adapters-tf-ablate") as error:
        read_ablations([path])
    assert message in str(error.value) and "x.json" in str(error.value)


def test_a_span_is_in_it_once(ablation):
    ablation["spans"].append(ablation["spans"][1])
    with pytest.raises(ValueError, match=r"span \(0, 1\) is in it twice"):
        Ablation.from_dict(ablation)


@pytest.mark.parametrize("text", ["[1, 2]", "{", None])
def test_other_files(tmp_path, text):
    path = tmp_path / "y.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match="y.json"):
        read_ablations([path])
