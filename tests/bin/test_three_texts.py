"""Three text columns of unequal roles through the programs."""

import json

import numpy as np
import pytest

from adapters_tf.bin import evaluate, predict, train


@pytest.mark.slow
def test_the_third_column_is_read(call, tiny_preset, tmp_path):
    random = np.random.default_rng(0)
    lines = ["source,claim,evidence,label"]
    for _ in range(96):
        words = random.choice(["good", "sad"], 3)
        # The label is in the evidence alone, behind a claim that is too long.
        lines.append(
            f"{words[0]},{'the film was so ' * 6}{words[1]},{words[2]},"
            f"{'yes' if words[2] == 'good' else 'no'}"
        )
    file, run = tmp_path / "rows.csv", tmp_path / "run"
    file.write_text("\n".join(lines) + "\n")
    columns = "--text_columns=source,claim,evidence"
    status = call(
        train,
        f"--preset={tiny_preset}",
        f"--train_file={file}",
        f"--dev_file={file}",
        columns,
        "--bottleneck_dim=8",
        "--seq_length=16",
        "--epochs=20",
        "--batch_size=16",
        "--learning_rate=2e-2",
        f"--output_dir={run}",
    )
    assert status == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["dev"]["accuracy"] > 0.95
    where, report = f"--adapter={run / 'adapter'}", tmp_path / "report.json"
    # The columns are those of training.
    assert call(evaluate, where, f"--file={file}", f"--output={report}") == 0
    assert json.loads(report.read_text())["dev"] == metrics["dev"]
    output = tmp_path / "out.jsonl"
    assert call(predict, where, f"--file={file}", f"--output={output}") == 0
    records = [json.loads(line) for line in output.read_text().splitlines()]
    truth = [line.split(",")[-1] for line in lines[1:]]
    right = [r["label"] == t for r, t in zip(records, truth, strict=True)]
    assert np.mean(right) == metrics["dev"]["accuracy"]
