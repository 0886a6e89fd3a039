"""Tags of words through the programs: CoNLL files in, entities out."""

import json
import subprocess
import sys

import numpy as np
import pytest

from adapters_tf.bin import evaluate, predict, train
from adapters_tf.models.adapter_file import load_adapter

# Prints the tags that a saved adapter gives, from a process that knows nothing else.
_RELOAD = """
import json, sys
from adapters_tf.data.examples import WordExamples
from adapters_tf.training.predict_texts import LoadedAdapter
rows = WordExamples([tuple(sys.argv[2].split())])
print(json.dumps(LoadedAdapter(sys.argv[1]).predictions(rows)))
"""


def conll_file(path, n, seed=0):
    """Sentences in which praise has one word or two, and tears one."""
    random = np.random.default_rng(seed)
    lines = []
    for _ in range(n):
        praise = (["good B-praise"], ["very B-praise", "great I-praise"])
        praise = praise[random.integers(2)]
        parts = [["the O", "film O"], praise, ["sad B-tears"], ["was O"]]
        lines += [line for i in random.permutation(4) for line in parts[i]] + [""]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
def test_train_evaluate_predict(call, tiny_preset, tmp_path, capsys):
    file, run = conll_file(tmp_path / "rows.conll", 96), tmp_path / "run"
    status = call(
        train,
        f"--preset={tiny_preset}",
        f"--train_file={file}",
        f"--dev_file={file}",
        "--bottleneck_dim=16",
        "--seq_length=16",
        "--epochs=40",
        "--batch_size=16",
        "--learning_rate=2e-2",
        f"--output_dir={run}",
    )
    assert status == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["dev"]["entity_f1"] > 0.9
    assert metrics["majority_baseline"]["entity_f1"] == 0
    adapter = load_adapter(run / "adapter")
    assert adapter.kind == "token_classification"
    assert adapter.head["num_classes"] == 5

    where, report = f"--adapter={run / 'adapter'}", tmp_path / "report.json"
    assert call(evaluate, where, f"--file={file}", f"--output={report}") == 0
    assert json.loads(report.read_text())["dev"] == pytest.approx(metrics["dev"])

    new = tmp_path / "new.conll"
    long = "\n".join(["film"] * 14 + ["good"])
    words = ["the", "film", "sad", "was", "very", "great"]  # like those of training
    new.write_text("\n".join(words) + f"\n\n{long}\n")
    output = tmp_path / "out.jsonl"
    assert call(predict, where, f"--file={new}", f"--output={output}") == 0
    first, cut = (json.loads(line) for line in output.read_text().splitlines())
    assert first["words"] == words
    assert first["tags"] == ["O", "O", "B-tears", "O", "B-praise", "I-praise"]
    tears, praise = first["entities"]
    assert (tears["type"], tears["text"]) == ("tears", "sad")
    assert (praise["text"], praise["start"], praise["end"]) == ("very great", 4, 6)
    assert 0.5 < praise["score"] <= 1
    # [CLS], 14 words, [SEP]: the last word was not read.
    assert cut["unread"] == 1 and cut["tags"][-1] == "O" and len(cut["tags"]) == 15

    # An entity behind the end is one that was missed.
    tagged = tmp_path / "long.conll"
    tagged.write_text("\n".join(["sad B-tears", *["film O"] * 13, "good B-praise"]))
    assert call(evaluate, where, f"--file={tagged}") == 0
    assert "entity_recall0.5000" in capsys.readouterr().out.replace(" ", "")

    again = subprocess.run(
        [sys.executable, "-P", "-c", _RELOAD, run / "adapter", " ".join(words)],
        capture_output=True,
        check=True,
    )
    (record,) = json.loads(again.stdout.splitlines()[-1])
    assert record["tags"] == first["tags"]
