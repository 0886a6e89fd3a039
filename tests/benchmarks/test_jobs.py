"""The jobs of benchmarks/run.py from the command line's end; no time is judged."""

import json
import math
import tempfile

import pytest

from benchmarks import jobs, serving


def numbers(value):
    """All numbers of a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.slow
def test_serving_quick(call, tiny_preset, tmp_path, monkeypatch, capsys):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    texts = tmp_path / "texts.txt"
    texts.write_text("the film was good\nawful plot\n\nso very sad\n")
    output = tmp_path / "serving.json"
    args = (f"--preset={tiny_preset}", f"--texts={texts}", f"--output={output}")
    measure_loads = serving.measure_loads

    def measure_two(cases, repeats):
        # Of each kind one: every process takes ten seconds to begin.
        one, separate = (
            measure_loads({name: cases[name]}, repeats)[name]
            for name in ("1", "separate 1")
        )
        return {name: separate if "sep" in name else one for name in cases}

    monkeypatch.setattr(serving, "measure_loads", measure_two)
    assert call(jobs, "serving", "--quick", *args) == 0
    # TensorFlow keeps files of its own there until this process ends.
    assert [entry for entry in scratch.iterdir() if entry.is_dir()] == []

    result = json.loads(output.read_text())
    assert set(result) == {
        "benchmark",
        "machine",
        "options",
        "base",
        "one_task",
        "separate_models",
        "servables",
        "goals",
    }
    assert result["machine"]["versions"]["tensorflow"]
    assert result["options"]["tasks"] == [2]
    assert result["options"]["agreement_texts"] == 3
    (one,) = result["servables"]
    assert set(one) == {
        "tasks",
        "adapter_bytes",
        "size_on_disk",
        "writing",
        "load",
        "load_mixed_only",
        "memory",
        "speed",
        "agreement",
        "adding",
    }
    assert all(math.isfinite(number) for number in numbers(result))

    # Two blocks of two adapters of 8 units, five LayerNorms, a head of 2 or 3.
    floats = 4 * (2 * 8 * 16 + 16 + 8) + 5 * 2 * 16
    heads = [classes * 17 for classes in (2, 3)]
    assert one["adapter_bytes"] == 4 * (floats + sum(heads) / 2) + 4 + 4 * 8
    # The base once, and both tasks.
    least = result["base"]["size_on_disk"] + 2 * one["adapter_bytes"]
    assert one["size_on_disk"] > least

    for load in (one["load"], result["separate_models"]["load"]):
        resident = load["resident_bytes"]
        assert 0 < resident["before"] < resident["called"]
        for stage in ("load", "first"):
            assert load[stage]["wall_seconds"] > 0
            assert load[stage]["cpu_seconds"] > 0

    assert [speed["rows"] for speed in one["speed"]] == [4, 2]
    for speed in one["speed"]:
        assert speed["tasks"] == 2
        assert 10 < speed["mean_tokens"] <= speed["padded_length"] <= 32
        for path in ("tokens", "text"):
            times, ratios = speed[path]["times"], speed[path]["ratios"]
            assert set(times) == {"plain", "single", "mixed", "one after another"}
            for time in times.values():
                assert time["repeats"] == 3
                assert time["wall_seconds"] > 0 and time["cpu_seconds"] > 0
            assert all(r["wall"] > 0 and r["cpu"] > 0 for r in ratios.values())

    assert one["agreement"]["texts"] == 3
    for found in one["agreement"]["differences"].values():
        assert found["max_abs"] <= 1e-5 and found["others"] == 0
    for stage in (*one["writing"].values(), *one["adding"].values()):
        # The time of processes counts in ticks of 10 ms.
        assert 0 <= stage["cpu_seconds"] and 0 < stage["wall_seconds"]

    markdown = output.with_suffix(".md").read_text()
    assert markdown in capsys.readouterr().out
    assert "mixed_text against tf.saved_model.load; 2 tasks" in markdown


@pytest.mark.slow
def test_steps_quick(call, tmp_path, capsys):
    """Training, whose turns and memory need processes; inference is the same."""
    kinds = ["ours train_adapters", "ours train_full"]
    output = tmp_path / "training.json"
    args = ("--quick", "--precisions=float32", f"--output={output}")
    assert call(jobs, "training", *args) == 0
    (case,) = json.loads(output.read_text())["cases"]
    assert (case["encoder"], case["rows"], case["tokens"]) == ("tiny", 4, 16)
    assert [case["times"][kind]["turns"] for kind in kinds] == [2, 2]
    assert all(case["times"][kind][u] > 0 for kind in kinds for u in ("wall", "cpu"))
    assert case["ratios"][" / ".join(kinds)]["wall"] > 0
    markdown = output.with_suffix(".md").read_text()
    assert markdown in capsys.readouterr().out
    assert "## tiny, 4 x 16 tokens, float32" in markdown

    assert call(jobs, "cache", "--quick", "--precisions=float32") == 0
    text = capsys.readouterr().out
    for kind in ("train_top", "train_top-memory", "train_top-disk"):
        assert f"\n| ours {kind} / ours train_adapters | " in text
    assert "train_top-disk: computing what is kept took " in text

    assert call(jobs, "memory", "--quick", "--precisions=float32") == 0
    rows = capsys.readouterr().out.split("| ours train_full | ")[1]
    start, built, peak = map(float, rows.split(" |\n")[0].split(" | "))
    assert 200 < start < 2000 and 0 < built <= peak < 2000


@pytest.mark.slow
def test_strategies_quick(call, tiny_preset, tmp_path, capsys):
    output = tmp_path / "strategies.json"
    args = (f"--preset={tiny_preset}", "--bottleneck_dim=4", f"--output={output}")
    assert call(jobs, "strategies", "--quick", *args) == 0
    result = json.loads(output.read_text())
    keys = {"benchmark", "machine", "options", "training", "runs", "goals"}
    assert set(result) == keys
    one, two = result["runs"]
    assert (one["strategy"], one["replicas"]) == ("one_device", 1)
    assert (two["strategy"], two["replicas"]) == ("mirrored", 2)
    assert one["weights"] == one["outputs"] == 0
    # Sums of other parts: the same to float32's rounding, and not the same run.
    assert 0 < two["weights"] <= 1e-6 and 0 < two["outputs"] <= 1e-6
    assert two["last_loss"] == pytest.approx(one["last_loss"], rel=1e-5)
    assert [goal["met"] for goal in result["goals"]] == [True, True]
    # 45 rows in batches of 16 leave 13.
    assert result["training"]["rows"] % result["training"]["batch_size"] == 13

    markdown = output.with_suffix(".md").read_text()
    assert markdown in capsys.readouterr().out
    assert "| mirrored | 2 in 1 process(es) | float32 | off | " in markdown


@pytest.mark.slow
def test_reuse(call, tiny_preset, tmp_path, capsys):
    output = tmp_path / "reuse.json"
    args = (f"--preset={tiny_preset}", "--trials=2", f"--output={output}")
    assert call(jobs, "reuse", "--bottleneck_dim=4", *args) == 0
    result = json.loads(output.read_text())
    assert len(result["new"]) == len(result["shared"]) == 2
    assert result["models_built"] == {"new": 2, "shared": 1}
    assert result["identical"] and result["training"] == {"rows": 160, "epochs": 2}
    assert all(math.isfinite(seconds) for seconds in result["saved"].values())
    assert "Same dev metrics: yes." in capsys.readouterr().out


@pytest.mark.slow
def test_data_quick(call, tiny_preset, tmp_path, capsys):
    folder = tmp_path / "SST-2"
    folder.mkdir()
    for name in ("train", "dev"):
        lines = ["sentence\tlabel"]
        lines += [f"{'the film ' * (1 + i % 9)}\t{i % 2}" for i in range(200)]
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    output = tmp_path / "data.json"
    args = (f"--preset={tiny_preset}", f"--data_dir={tmp_path}", "--seq_length=32")
    sizes = ("--batch_size=16", "--bottleneck_dim=4", f"--output={output}")
    assert call(jobs, "data", "--quick", *args, *sizes) == 0
    result = json.loads(output.read_text())
    assert (result["task"], result["rows"], result["epoch_rows"]) == ("sst2", 200, 96)
    # [CLS], [SEP] and 2 to 18 words.
    assert result["tokens"] == sum(2 + 2 * (1 + i % 9) for i in range(200))
    assert [stage["rows"] for stage in result["stages"].values()] == [400, *[200] * 3]
    padded = result["fill"]["every row to the longest input"]
    assert (padded["steps"], padded["padded_tokens"]) == (13, 200 * 32)
    assert [epoch["steps"] for epoch in result["epochs"].values()] == [6, 6, 6]
    assert all(math.isfinite(number) for number in numbers(result))
    assert len(result["goals"]) == 2
    markdown = output.with_suffix(".md").read_text()
    assert markdown in capsys.readouterr().out
    assert "| every row to the longest input | 13 | 6,400 | " in markdown


@pytest.mark.slow
def test_scaling_quick(call, tiny_preset, tmp_path, monkeypatch, capsys):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    output = tmp_path / "scaling.json"
    args = (f"--preset={tiny_preset}", f"--output={output}")
    assert call(jobs, "scaling", "--quick", *args) == 0
    result = json.loads(output.read_text())
    sweeps = {(s["axis"], s["measure"]): s for s in result["sweeps"]}
    assert len(sweeps) == 7 and all(min(s["costs"]) > 0 for s in sweeps.values())
    assert sweeps["seq_length", "ms a batch"]["sizes"] == [16, 32]
    disk = sweeps["tasks", "MB on disk"]
    # Each more task is its own tensors and not another base.
    few, more = disk["costs"]
    assert more - few < few / 2
    markdown = output.with_suffix(".md").read_text()
    assert markdown in capsys.readouterr().out
    assert "## By tasks of a servable" in markdown
    for axis in ("seq_length", "rows", "bottleneck_dim", "tasks"):
        for suffix in ("png", "svg"):
            assert (tmp_path / f"scaling_{axis}.{suffix}").stat().st_size > 1000


@pytest.mark.slow
def test_failed_strategy_says_why(call, capsys):
    assert call(jobs, "strategies", "--preset=/no/such") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: Training with 1 process(es) of Spec(strategy='one_")
    assert "'/no/such' could not be loaded" in error and "Traceback" not in error


@pytest.mark.slow
def test_faults_quick(call, tiny_preset, tmp_path, monkeypatch, capsys):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    output = tmp_path / "faults.json"
    # More epochs, so that some of the kills hit training.
    args = (f"--preset={tiny_preset}", "--epochs=12", "--seed=1", f"--output={output}")
    assert call(jobs, "faults", "--quick", *args) == 0
    assert list(scratch.iterdir()) == []
    result = json.loads(output.read_text())
    keys = {"benchmark", "machine", "options", "uninterrupted_seconds", "kills"}
    assert set(result) == keys | {"runs", "goals"}
    assert (result["options"]["rows"], result["options"]["epochs"]) == (90, 12)
    assert len(result["kills"]) == sum(run["kills"] for run in result["runs"]) == 2
    for kill in result["kills"]:
        assert 0 < kill["after_seconds"] < result["uninterrupted_seconds"]
        # 81 rows are 6 steps an epoch.
        assert 0 <= kill["newest_checkpoint"] <= 72
    assert all(run["identical"] for run in result["runs"])
    assert result["goals"][0]["met"]

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
