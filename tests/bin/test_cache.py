"""`--cache` and adapters in the top blocks, by the command line."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file

from adapters_tf.bin import predict, sweep, train
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.study import run
from adapters_tf.training.prefix_cache import CacheConfig


@pytest.fixture
def args(tiny_preset, sentiment_csv, tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERS_TF_CACHE_DIR", str(tmp_path / "cache"))
    return [
        f"--preset={tiny_preset}",
        f"--train_file={sentiment_csv}",
        "--epochs=2",
        "--learning_rate=2e-2",
        "--seq_length=16",
    ]


@pytest.fixture
def train_args(args):
    return [*args, "--bottleneck_dim=4", "--head_input=mean"]


def test_train_and_predict(call, train_args, sentiment_csv, tmp_path, capsys):
    runs = {}
    for cache in ("auto", "off", "disk"):
        run = tmp_path / cache
        command = [*train_args, "--adapter_layers=top1", f"--cache={cache}"]
        assert call(train, *command, f"--output_dir={run}") == 0
        runs[cache] = load_file(run / "adapter" / "adapter.safetensors")
        printed = capsys.readouterr().out
        assert ("frozen blocks: 1 of 2, computed" in printed) == (cache != "off")
    # Some of the 200 rows are equal.
    assert re.search(r"([0-9]+) different rows, \1 of them new; 0 MB on disk", printed)
    assert load_adapter(run / "adapter").adapter.layers == (1,)
    for name, tensor in runs["off"].items():
        np.testing.assert_array_equal(runs["auto"][name], runs["disk"][name])
        np.testing.assert_allclose(runs["auto"][name], tensor, 1e-5, 1e-6)
    # How it was made is no part of what it is.
    settings = [json.loads((tmp_path / c / "settings.json").read_text()) for c in runs]
    assert settings[0] == settings[1] == settings[2]

    (states,) = (tmp_path / "cache").glob("hidden-states-*.sqlite")
    size, found = states.stat().st_size, {}
    for cache in ("off", "disk"):
        output = tmp_path / f"{cache}.jsonl"
        command = [f"--adapter={run / 'adapter'}", f"--file={sentiment_csv}"]
        command += [f"--output={output}", f"--cache={cache}"]
        assert call(predict, *command) == 0
        found[cache] = [json.loads(line) for line in output.read_text().splitlines()]
    capsys.readouterr()
    assert len(found["disk"]) == 200
    assert states.stat().st_size == size  # all of them were there
    for ours, theirs in zip(found["disk"], found["off"], strict=True):
        assert ours["label"] == theirs["label"]
        assert ours["score"] == pytest.approx(theirs["score"], rel=1e-5)

    # A named one, and both at once.
    output = tmp_path / "named.jsonl"
    command = [f"--adapter=a={run / 'adapter'}", f"--file={sentiment_csv}"]
    assert call(predict, *command, f"--output={output}") == 0
    named = [json.loads(line) for line in output.read_text().splitlines()]
    assert named == [{"a": line} for line in found["off"]]
    capsys.readouterr()
    output = tmp_path / "both.jsonl"
    both = ",".join(f"{c}={tmp_path / c / 'adapter'}" for c in ("auto", "off"))
    command = [f"--adapter={both}", f"--file={sentiment_csv}", f"--output={output}"]
    assert call(predict, *command) == 0
    printed = capsys.readouterr().out
    assert "blocks computed once for all: 1" in printed
    assert "200 predictions" in printed
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    for line, alone in zip(lines, found["off"], strict=True):
        assert list(line) == ["auto", "off"]
        assert line["off"]["label"] == alone["label"]
        assert line["off"]["score"] == pytest.approx(alone["score"], rel=1e-5)


def test_trials_of_a_sweep_share_a_cache(call, args, tmp_path, capsys):
    command = [*args, "--methods=head,adapters", "--top_layers=1", "--seeds=0,1"]
    command += [f"--output_dir={tmp_path / 'sweep'}", "--cache=memory", "--epochs=1"]
    assert call(sweep, *command) == 0
    logs = sorted((tmp_path / "sweep" / "trials").glob("*/log.txt"))
    lines = [
        line
        for log in logs
        for line in log.read_text().splitlines()
        if "frozen blocks" in line
    ]
    assert len(lines) == 4
    # adapters-64-top1, then head: two cuts, each computed by the first of two seeds.
    assert ["2 of 2" in line for line in lines] == [False, False, True, True]
    assert [" 0 of them new" in line for line in lines] == [False, True, False, True]
    assert [".adapters-64-top1." in log.parent.name for log in logs] == [1, 1, 0, 0]


def test_a_worker_of_a_sweep_knows_of_the_others(call, args, monkeypatch):
    caches = []
    monkeypatch.setattr(run, "run_worker", lambda *args: caches.append(args[-1]))
    command = [*args, "--workers=3", "--local", "--worker=worker-1", "--chief=h:1"]
    assert call(sweep, *command, "--cache_gb=6") == 0
    assert caches == [CacheConfig("auto", 6, processes=3)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cache=on"], "should be one of <auto|off|memory|disk>"),
        (["--cache_gb=0"], "cache_gb must be above 0. Received: cache_gb=0.0"),
        (["--adapter_layers=top0"], "or top3 for the top three. Received: top0"),
        (["--adapter_layers=-1"], "must be block numbers from 0"),
        (["--adapter_layers=top3"], "or from -2 to -1 from the top. Received"),
    ],
)
def test_bad_flags(call, train_args, flags, message, tmp_path, capsys):
    status = call(train, *train_args, *flags, f"--output_dir={tmp_path / 'run'}")
    assert status == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--adapter=a=x,a=y"], "name of its own, .* Received: --adapter=a=x,a=y"),
        (["--adapter=a=x,b=y", "--cache=disk"], "by themselves: give --cache=off"),
        (["--adapter=a", "--batch_size=0"], "batch_size must be 1 or more"),
        (["--adapter=a", "--cache=memory"], "should be one of <off|disk>"),
    ],
)
def test_bad_flags_of_predict(call, flags, message, sentiment_csv, tmp_path, capsys):
    output = f"--output={tmp_path / 'out.jsonl'}"
    assert call(predict, *flags, f"--file={sentiment_csv}", output) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in message.split(" .* "))
    assert list(tmp_path.glob("*out*")) == list(tmp_path.glob(".*out*")) == []
