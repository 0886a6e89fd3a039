"""The jobs of benchmarks/run.py from the command line's end; no time is judged."""

import json
import math
import tempfile

import pytest

from benchmarks import jobs


@pytest.mark.slow
def test_strategies_quick(call, small_preset, tmp_path, capsys):
    output = tmp_path / "strategies.json"
    args = (f"--preset={small_preset}", "--bottleneck_dim=4", f"--output={output}")
    assert call(jobs, "strategies", "--quick", *args) == 0
    result = json.loads(output.read_text())
    keys = {"benchmark", "machine", "options", "training", "runs"}
    assert set(result) == keys
    one, two = result["runs"]
    assert (one["strategy"], one["replicas"]) == ("one_device", 1)
    assert (two["strategy"], two["replicas"]) == ("mirrored", 2)
    assert one["weights"] == one["outputs"] == 0
    # Sums of other parts: the same to float32's rounding, and not the same run.
    assert 0 < two["weights"] <= 1e-6 and 0 < two["outputs"] <= 1e-6
    assert two["last_loss"] == pytest.approx(one["last_loss"], rel=1e-5)
    # 45 rows in batches of 16 leave 13.
    assert result["training"]["rows"] % result["training"]["batch_size"] == 13

    markdown = output.with_suffix(".md").read_text()
    assert markdown in capsys.readouterr().out
    assert "| mirrored | 2 in 1 process(es) | float32 | off | " in markdown


@pytest.mark.slow
def test_reuse(call, small_preset, tmp_path, capsys):
    output = tmp_path / "reuse.json"
    args = (f"--preset={small_preset}", "--trials=2", f"--output={output}")
    assert call(jobs, "reuse", "--bottleneck_dim=4", *args) == 0
    result = json.loads(output.read_text())
    assert len(result["new"]) == len(result["shared"]) == 2
    assert result["models_built"] == {"new": 2, "shared": 1}
    assert result["identical"] and result["training"] == {"rows": 160, "epochs": 2}
    assert all(math.isfinite(seconds) for seconds in result["saved"].values())
    assert "Same dev metrics: yes." in capsys.readouterr().out


@pytest.mark.slow
def test_failed_strategy_says_why(call, capsys):
    assert call(jobs, "strategies", "--preset=/no/such") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: Training with 1 process(es) of Spec(strategy='one_")
    assert "'/no/such' could not be loaded" in error and "Traceback" not in error


@pytest.mark.slow
def test_faults_quick(call, small_preset, tmp_path, monkeypatch, capsys):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    output = tmp_path / "faults.json"
    # More epochs, so that some of the kills hit training.
    args = (f"--preset={small_preset}", "--epochs=12", "--seed=1", f"--output={output}")
    assert call(jobs, "faults", "--quick", *args) == 0
    assert list(scratch.iterdir()) == []
    result = json.loads(output.read_text())
    keys = {"benchmark", "machine", "options", "uninterrupted_seconds", "kills"}
    assert set(result) == keys | {"runs"}
    assert (result["options"]["rows"], result["options"]["epochs"]) == (90, 12)
    assert len(result["kills"]) == sum(run["kills"] for run in result["runs"]) == 2
    for kill in result["kills"]:
        assert 0 < kill["after_seconds"] < result["uninterrupted_seconds"]
        # 81 rows are 6 steps an epoch.
        assert 0 <= kill["newest_checkpoint"] <= 72
    assert all(run["identical"] for run in result["runs"])

    markdown = output.with_suffix(".md").read_text()
    assert markdown in capsys.readouterr().out
    assert "2 kills (SIGKILL)" in markdown and "| 1 | " in markdown


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "must be one of these jobs: training"),
        (("training", "--encoders=big"), "--encoders takes some of tiny, minilm"),
        (("training", "--precisions=float16"), "takes some of float32, mixed_bfloat16"),
        (("inference", "--batches=32"), "rows x tokens, such as 32x32,8x128. Received"),
        (("inference", "--batches=1x513"), "A row has at most 512 tokens. Received"),
        (("memory", "--repeats=0"), "--repeats must be 1 or more. Received: 0"),
        (("memory", "--quick", "--peer_python=/no"), "could not be started. Received"),
        (("serving", "--tasks=two"), "--tasks takes whole numbers with commas"),
        (("serving", "--tasks=1"), "tasks must be different whole numbers of 2 or"),
        (("serving", "--output=x.txt"), "--output names a .json file"),
        (("serving", "--texts=/no/such"), "A data file must exist"),
        (("serving", "now"), "Options begin with --name. Received: now"),
        (("strategy",), "Received: 'strategy'. Did you mean 'strategies'?"),
        (("strategies", "--bottleneck_dim=0"), "Received: bottleneck_dim=0"),
        (("strategies", "--output=x.txt"), "--output names a .json file"),
        (("strategies", "--kills=3"), "Unknown command line flag 'kills'"),
        (("faults", "--kills=0"), "kills must be 1 or more. Received: kills=0"),
        (("faults", "--rows=-1"), "rows must be 1 or more. Received: rows=-1"),
        (("faults", "--epochs=two"), "--epochs=two"),
        (("faults", "--output=/no/such/x.json"), "must be in a folder that is there"),
        (("data", "--repeats=0", "--data_dir=x"), "repeats must be 1 or more"),
        (("data", "--seq_length=4"), "--seq_length must be 8 or more. Received: 4"),
        (("time_to_quality",), "--peer_python is needed"),
        (("time_to_quality", "--peer_python=/no"), "could not be started. Received"),
        (("scaling", "--rows=4,2"), "rows must be two or more rising whole numbers"),
        (("scaling", "--lengths=x"), "--lengths takes whole numbers with commas"),
        (("load", "--rates=9,3"), "rates must be rising whole numbers from 1"),
        (("load", "--grpc=localhost:1"), "asked for the tasks of task_names"),
        (("page", "--output=x.md"), "--results is needed"),
        (("page", "--results=x", "--output=x.md"), "must be a page that is there"),
        (("reuse", "--trials=1"), "--trials must be 2 or more. Received: 1"),
        (("faults", "now"), "Options begin with --name. Received: now"),
    ],
)
def test_errors(call, capsys, args, message):
    assert call(jobs, *args) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err and captured.out == ""


JOB_FLAGS = {
    "training": ("encoders", "batches", "precisions", "peer_python", "quick"),
    "inference": ("encoders", "batches", "peer_python", "repeats", "output"),
    "cache": ("encoders", "batches", "precisions", "repeats", "output"),
    "memory": ("encoders", "batches", "peer_python", "repeats", "output"),
    "serving": ("preset", "tasks", "rows", "texts", "quick", "output"),
    "strategies": ("preset", "bottleneck_dim", "quick", "output"),
    "data": ("task", "data_dir", "epoch_rows", "repeats", "quick", "output"),
    "time_to_quality": ("peer_python", "data_dir", "tasks", "peer_epochs", "output"),
    "scaling": ("lengths", "rows", "bottlenecks", "tasks", "quick", "output"),
    "load": ("encoders", "tasks", "grpc", "rest", "task_names", "rates", "output"),
    "page": ("results", "output"),
    "reuse": ("preset", "trials", "bottleneck_dim", "output"),
    "faults": ("preset", "kills", "checkpoint_interval", "seed", "quick", "output"),
}


def test_help(call, capsys):
    assert call(jobs, "--help") == 0
    text = capsys.readouterr().out
    for name in JOB_FLAGS:
        assert f"\n  {name} " in text


@pytest.mark.parametrize("job", JOB_FLAGS)
def test_help_of_a_job(call, capsys, job):
    assert call(jobs, job, "--help") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 88
    assert f"\n  python benchmarks/run.py {job} --" in text
    for flag in JOB_FLAGS[job]:
        assert f"\n  --{flag} " in text
