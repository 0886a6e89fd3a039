"""adapters-tf-report from the command line's end."""

import json

import pytest

from adapters_tf.bin import report
from adapters_tf.study.grid import Setting
from adapters_tf.study.results import Result


@pytest.fixture
def results(tmp_path):
    """A directory of a study: two sizes of adapters and full fine-tuning."""
    path = tmp_path / "sweep"
    path.mkdir()
    lines = []
    for method, size, score in (
        ("adapters", 8, 0.7),
        ("adapters", 64, 0.8),
        ("full", None, 0.9),
    ):
        setting = Setting("a", method, 3, learning_rate=1e-3, bottleneck_dim=size)
        result = Result(
            setting,
            metric="accuracy",
            score=score,
            dev={"accuracy": score},
            majority_baseline={"accuracy": 0.5},
            trained_parameters=size or 990,
            base_parameters=1000,
            train_rows=10,
            dev_rows=10,
            seconds=1.0,
            kind="classification",
        )
        lines.append(json.dumps(result.to_dict()))
    (path / "results.jsonl").write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def ablation(tmp_path):
    path = tmp_path / "ablation.json"
    value = {"kind": "layer_ablation", "task": "a", "metric": "accuracy"}
    value |= {"num_layers": 1, "adapter": "x", "dev_rows": 10}
    value |= {"full": {"accuracy": 0.8}, "majority_baseline": {"accuracy": 0.5}}
    value["spans"] = [{"first": 0, "last": 0, "dev": {"accuracy": 0.6}}]
    path.write_text(json.dumps(value))
    return str(path)


def test_study(results, ablation, tmp_path, call, capsys):
    output = tmp_path / "R"
    flags = [f"--results={results}", f"--output_dir={output}", "--title=Mine"]
    flags += [f"--ablations={ablation}", "--sizes=8,64"]
    assert call(report, "study", *flags) == 0
    printed = capsys.readouterr().out
    assert (
        "Full fine-tuning is 20.00 points ahead of adapters of size 8 on a." in printed
    )
    assert "(layer 0)" in printed
    assert printed.endswith(f"The report: {output}/report.html\n")
    text = (output / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# Mine\n")
    assert "| adapters 8 | adapters 64 | adapters, best size |" in text
    assert (output / "figures" / "ablation-a.svg").is_file()
    assert call(report, "study", *flags) == 2
    assert "give --overwrite" in capsys.readouterr().err
    assert call(report, "study", *flags, "--overwrite") == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--results is needed"),
        (["--results={results}"], "--output_dir is needed"),
        (["--results=/no/such", "--output_dir={out}"], "Received: '/no/such'"),
        (
            ["--results={results}", "--output_dir={out}", "--sizes=eight"],
            "--sizes takes whole numbers with commas between them. Received: eight",
        ),
        (
            ["--results={results}", "--output_dir={out}", "--sizes=16"],
            "the study, which has 8, 64. Received: 16",
        ),
        (
            ["--results={results}", "--output_dir={out}", "--ablations=/no/such"],
            "JSON file that adapters-tf-ablate writes",
        ),
        (
            ["--results={results}", "--output_dir={results}"],
            "must be new, empty, or hold an earlier report",
        ),
    ],
)
def test_errors(results, tmp_path, call, capsys, flags, message):
    out = tmp_path / "R"
    flags = [flag.format(results=results, out=out) for flag in flags]
    assert call(report, "study", *flags) == 2
    captured = capsys.readouterr()
    assert message in captured.err and "Traceback" not in captured.err
    assert captured.out == "" and not out.exists()


def test_help(call, capsys):
    assert call(report, "--help") == 0
    text = capsys.readouterr().out
    assert "\n  study " in text and "\n  glue " in text
    assert call(report, "study", "--help") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 88
    for flag in ("results", "ablations", "sizes", "title", "output_dir", "overwrite"):
        assert f"\n  --{flag} " in text
