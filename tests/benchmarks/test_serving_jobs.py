"""Jobs that export servables, from the command line's end; no time is judged."""

import json
import math
import tempfile

import pytest

from benchmarks import jobs, serving


@pytest.mark.slow
def test_serving_quick(call, small_preset, tmp_path, monkeypatch, capsys, numbers):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    texts = tmp_path / "texts.txt"
    texts.write_text("the film was good\nawful plot\n\nso very sad\n")
    output = tmp_path / "serving.json"
    args = (f"--preset={small_preset}", f"--texts={texts}", f"--output={output}")
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

    # A block of two adapters of 8 units, three LayerNorms, a head of 2 or 3.
    floats = 2 * (2 * 8 * 16 + 16 + 8) + 3 * 2 * 16
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
    assert "2 tasks: mixed_text against tf.saved_model.load" in markdown


@pytest.mark.slow
def test_scaling_quick(call, small_preset, tmp_path, monkeypatch, capsys):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    output = tmp_path / "scaling.json"
    args = (f"--preset={small_preset}", f"--output={output}")
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
def test_live_job(call, small_preset, tmp_path, numbers, capsys):
    output = tmp_path / "live.json"
    args = ("--tasks=5", "--in_memory=2", "--bottleneck_dim=3", "--calls=2")
    flags = (f"--preset={small_preset}", f"--output={output}", "--rows=1,2")
    flags = (*flags, "--seq_length=16")
    assert call(jobs, "live", *args, *flags) == 0
    result = json.loads(output.read_text())
    assert result["options"]["tasks"] == result["options"]["different_tasks"] == 5
    assert [one["rows"] for one in result["latency"]] == [1, 2]
    assert len(result["first_answer_seconds"]) == 30
    for one in result["latency"]:
        for way in ("live", "in_memory"):
            assert 0 < one[way]["p50"] <= one[way]["p95"] <= one[way]["p99"]
    assert min(result["memory"].values()) > result["task_bytes"] > 0
    assert "| rows | live p50, ms |" in output.with_suffix(".md").read_text()
    assert call(jobs, "live", "--tasks=0") == 2
    assert "tasks must be" in capsys.readouterr().err
