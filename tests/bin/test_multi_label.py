"""Several labels a row through the programs, to a servable."""

import json
import subprocess
import sys

import numpy as np
import pytest

from adapters_tf.bin import evaluate, export, predict, train
from adapters_tf.errors import AdapterFileError
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.tasks.build import build_model

# Prints what a saved adapter says, from a process that knows nothing else.
_RELOAD = """
import json, sys
from adapters_tf.training.predict_texts import predict_texts
texts = ["the film was good sad .", "the film was ."]
print(json.dumps(predict_texts(sys.argv[1], [texts])))
"""


def rows(n):
    """Texts with a word for each label that they have."""
    random = np.random.default_rng(0)
    for _ in range(n):
        has = random.integers(2, size=2)
        words = ["the film was", *(["good"] * has[0]), *(["sad"] * has[1]), "."]
        names = [name for name, h in zip(("praise", "tears"), has, strict=True) if h]
        yield " ".join(words), "\t".join(names)


@pytest.mark.slow
def test_train_evaluate_predict_export(
    call, tiny_preset, tmp_path, checks_in_new_process
):
    file, run = tmp_path / "rows.csv", tmp_path / "run"
    lines = ["text,label", *(f"{text},{labels}" for text, labels in rows(96))]
    file.write_text("\n".join(lines) + "\n")
    separator = r"--label_separator=\t"  # as shells have it
    status = call(
        train,
        f"--preset={tiny_preset}",
        f"--train_file={file}",
        f"--dev_file={file}",
        separator,
        "--head_input=mean",
        "--bottleneck_dim=4",
        "--seq_length=16",
        "--epochs=25",
        "--batch_size=16",
        "--learning_rate=2e-2",
        f"--output_dir={run}",
    )
    assert status == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["dev"]["f1_micro"] > 0.95 > metrics["majority_baseline"]["f1_micro"]
    assert "confusion" not in metrics
    adapter = load_adapter(run / "adapter")
    assert adapter.kind == "multi_label"
    assert adapter.task["labels"] == ["praise", "tears"]

    where, report = f"--adapter={run / 'adapter'}", tmp_path / "report.json"
    status = call(evaluate, where, f"--file={file}", separator, f"--output={report}")
    assert status == 0
    assert json.loads(report.read_text())["dev"] == pytest.approx(metrics["dev"])
    output = tmp_path / "out.jsonl"
    assert call(predict, where, f"--file={file}", f"--output={output}") == 0
    records = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(records) == 96
    for record in records:
        assert list(record) == ["labels", "probabilities"]
        scores = record["probabilities"]
        assert record["labels"] == [k for k, p in scores.items() if p >= 0.5]

    again = subprocess.run(
        [sys.executable, "-P", "-c", _RELOAD, run / "adapter"],
        capture_output=True,
        check=True,
    )
    both, neither = json.loads(again.stdout.splitlines()[-1])
    assert both["labels"] == ["praise", "tears"] and neither["labels"] == []

    base, task, servable = (tmp_path / name for name in ("base", "task", "servable"))
    preset = f"--preset={tiny_preset}"
    assert call(export, "base", preset, "--seq_length=16", f"--output_dir={base}") == 0
    assert call(export, "adapter", where, f"--output_dir={task}") == 0
    status = call(
        export,
        "servable",
        f"--base={base}",
        f"--adapters=moods={task}",
        f"--output_dir={servable}",
    )
    assert status == 0
    from adapters_tf.export.session import ServingSession

    text = np.array([b"the film was good sad ."])
    with ServingSession(servable / "1") as session:
        got = session.run("moods_text", {"text": text})
        mixed = session.run(
            "mixed_text",
            {"text": text, "text_pair": np.array([b""]), "task": np.array([b"moods"])},
        )
    assert set(got) == {"labels", "probabilities"}
    assert got["labels"].tolist() == [[b"praise", b"tears"]]
    wanted = list(both["probabilities"].values())
    np.testing.assert_allclose(got["probabilities"], [wanted], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(mixed["probabilities"], [wanted], rtol=1e-4, atol=1e-6)
    assert mixed["label"].tolist() == [b""]
    assert mixed["kind"].tolist() == [b"multi_label"]

    # A classifier of the same shapes is another task.
    model = build_model(
        "classification",
        tiny_preset,
        adapter.adapter,
        seq_length=16,
        head={"num_classes": 2, "head_input": "mean"},
    )
    with pytest.raises(AdapterFileError, match="kind must be the model's. .*multi_lab"):
        model.set_adapter(adapter)
