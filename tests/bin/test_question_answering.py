"""Question answering through the programs: SQuAD's form in, answers out."""

import json

import pytest

from adapters_tf.bin import evaluate, predict, train


def squad_file(path, n):
    """Contexts of a name and a colour; the question names what is asked."""
    words = ("good", "great", "fine", "lovely")
    paragraphs = []
    for i in range(n):
        word = words[i % 4]
        context = f"the film was {word} and the plot was sad ."
        answer = {"text": word, "answer_start": context.index(word)}
        question = {"id": f"q{i}", "question": "film ?", "answers": [answer]}
        paragraphs.append({"context": f"{context}", "qas": [question]})
    data = {"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}
    path.write_text(json.dumps(data))
    return path


def test_train_evaluate_predict(call, tiny_preset, tmp_path):
    file = squad_file(tmp_path / "train.json", 64)
    run = tmp_path / "run"
    status = call(
        train,
        f"--preset={tiny_preset}",
        f"--train_file={file}",
        f"--dev_file={file}",
        "--seq_length=32",
        "--epochs=25",
        "--batch_size=16",
        "--learning_rate=2e-2",
        f"--output_dir={run}",
    )
    assert status == 0
    metrics = json.loads((run / "metrics.json").read_text())
    # Every answer is the fourth word of its context.
    assert metrics["dev"]["exact_match"] > 0.9
    assert metrics["majority_baseline"] == {"f1": 0.0, "exact_match": 0.0}

    report, output = tmp_path / "report.json", tmp_path / "answers.jsonl"
    adapter = f"--adapter={run / 'adapter'}"
    assert call(evaluate, adapter, f"--file={file}", f"--output={report}") == 0
    assert json.loads(report.read_text())["dev"] == pytest.approx(metrics["dev"])
    assert call(predict, adapter, f"--file={file}", f"--output={output}") == 0
    records = [json.loads(line) for line in output.read_text().splitlines()]
    assert [r["id"] for r in records] == [f"q{i}" for i in range(64)]
    context = "the film was good and the plot was sad ."
    first = records[0]
    assert first["answer"] == context[first["start"] :][: len(first["answer"])]
