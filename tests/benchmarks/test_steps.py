"""Timed steps: the processes, the gate against foreign load, names, tables."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import benchmarks
from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import UserError
from adapters_tf.models.backbones import BertAdapterBackbone
from benchmarks import jobs, steps, steps_measure
from benchmarks.processes import Resident
from benchmarks.steps_measure import Case
from benchmarks.steps_ours import torch_tensors

TINY = Case("tiny", rows=4, tokens=16, bottleneck_dim=8)
RUN = str(Path(benchmarks.__file__).with_name("run.py"))
ANSWERS = """
import runpy, sys
runpy.run_path(sys.argv[1])["load_package"]()
from benchmarks.processes import serve
from adapters_tf.errors import UserError

def add(a, b):
    print("to the standard error")
    return {"sum": a + b}

def fail():
    raise UserError("Give something else.")

def end():
    raise SystemExit("gone")

serve({"add": add, "fail": fail, "end": end})
"""


def test_resident_answers_and_fails_in_words():
    with Resident([sys.executable, "-P", "-c", ANSWERS, RUN], "It") as it:
        assert it.ask(op="add", a=1, b=2) == {"sum": 3}
        assert it.ask(op="add", a=5, b=2) == {"sum": 7}
        with pytest.raises(UserError, match=r"^It: Give something else\.$"):
            it.ask(op="fail")
        with pytest.raises(UserError, match=r"(?s)It ended before it answered: .*gone"):
            it.ask(op="end")


def test_python_that_is_not_there():
    with pytest.raises(UserError, match="The peer could not be started.*'/no/python'"):
        Resident(["/no/python"], "The peer")


def test_names_and_layout_in_pytorch():
    backbone = BertAdapterBackbone(
        vocabulary_size=11,
        num_layers=1,
        num_heads=2,
        hidden_dim=6,
        intermediate_dim=8,
        adapter=AdapterConfig(bottleneck_dim=3),
    )
    for i, v in enumerate(backbone.weights):
        v.assign(np.random.default_rng(i).normal(size=v.shape))
    ours = {v.path: v.numpy() for v in backbone.weights}
    tensors = torch_tensors(backbone, "task")
    layer = "encoder.layer.0."
    query = ours["transformer_layer_0/self_attention_layer/query/kernel"]
    there = tensors[f"{layer}attention.self.query.weight"]
    # x @ kernel, heads end to end, is what a Linear computes: x @ weight.T.
    x = np.random.default_rng(0).normal(size=(4, 6))
    expected = np.einsum("nd,dhe->nhe", x, query).reshape(4, 6)
    np.testing.assert_allclose(x @ there.T, expected, rtol=1e-6)
    output = ours["transformer_layer_0/self_attention_layer/attention_output/kernel"]
    heads = np.random.default_rng(1).normal(size=(4, 2, 3))
    np.testing.assert_allclose(
        heads.reshape(4, 6) @ tensors[f"{layer}attention.output.dense.weight"].T,
        np.einsum("nhe,hed->nd", heads, output),
        rtol=1e-6,
    )
    shapes = {name: value.shape for name, value in tensors.items()}
    assert shapes[f"{layer}output.adapters.task.adapter_down.0.weight"] == (3, 6)
    assert shapes[f"{layer}output.adapters.task.adapter_up.weight"] == (6, 3)
    assert shapes[f"{layer}intermediate.dense.weight"] == (8, 6)
    assert shapes["embeddings.word_embeddings.weight"] == (11, 6)
    assert len(tensors) == len(ours)


class Side:
    """Stands in for a process: seconds that are given."""

    def __init__(self, wall):
        self.wall = wall

    def ask(self, op, kind, steps):
        return {"wall": self.wall[kind], "cpu": 2 * self.wall[kind]}


@pytest.mark.parametrize(("foreign", "dropped", "turns"), [(0.0, 0, 3), (1.0, 3, 3)])
def test_turns_with_foreign_load_are_dropped(monkeypatch, foreign, dropped, turns):
    sides = {"ours": Side({"train_adapters": 1.0, "train_full": 2.0})}
    clock = iter(range(10**6))

    def busy():
        # Between two calls: 2 or 4 seconds of the process's own, and others'.
        return next(clock) * (2.0 + foreign) if foreign else 0.0

    monkeypatch.setattr(steps_measure, "busy_seconds", busy)
    monkeypatch.setattr(steps_measure.os, "cpu_count", lambda: 2)
    options = steps_measure.StepOptions((TINY,), repeats=3, warmup=1)
    times, lost, noisy = steps_measure._take_turns(sides, options)
    # There must be some turns: the last count as they come, and it is said.
    assert (lost, noisy) == (dropped, dropped)
    assert {name: len(t) for name, t in times.items()} == {
        "ours train_adapters": turns,
        "ours train_full": turns,
    }
    assert steps_measure._ratios(times) == {
        "ours train_adapters / ours train_full": {"wall": 0.5, "cpu": 0.5}
    }


def test_ratios():
    ratio = {"wall": 0.9, "cpu": 0.5}
    case = {"encoder": "minilm", "rows": 8, "tokens": 128}
    timed = {
        **case,
        "precision": "mixed_bfloat16",
        "ratios": {
            "ours train_adapters / ours train_full": ratio,
            "ours train_adapters / peer train_adapters": ratio,
            "ours train_full / peer train_full": ratio,
        },
    }
    memory = {
        **case,
        "precision": "float32",
        "memory": {
            "ours train_adapters": {"start": 1, "built": 2, "growth": 110},
            "peer train_adapters": {"start": 1, "built": 2, "growth": 100},
            "ours train_full": {"start": 1, "built": 2, "growth": 120},
        },
    }
    where = "minilm, 8 x 128 tokens"
    assert steps.find_ratios({"cases": [timed, memory]}) == [
        (f"{where}, mixed_bfloat16", "step time, adapters / full fine-tuning", 0.9),
        (f"{where}, mixed_bfloat16", "step time with adapters, ours / AdapterHub", 0.9),
        (f"{where}, float32", "growth of memory with adapters, ours / AdapterHub", 1.1),
    ]


@pytest.mark.slow
@pytest.mark.skipif(
    "ADAPTERS_TF_PEER_PYTHON" not in os.environ,
    reason="ADAPTERS_TF_PEER_PYTHON does not name a Python with torch and adapters",
)
def test_the_peer_computes_the_same():
    options = steps_measure.StepOptions(
        (TINY,),
        (*steps_measure.TRAINING, *steps_measure.INFERENCE),
        os.environ["ADAPTERS_TF_PEER_PYTHON"],
        repeats=1,
    )
    (case,) = steps_measure.measure_steps(options, say=lambda _: None)["cases"]
    assert case["largest_difference_of_outputs"] < 1e-5
    assert len(case["times"]) == 8 and len(case["ratios"]) == 7


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
    assert "train_top-disk: computing the hidden states took " in text

    assert call(jobs, "memory", "--quick", "--precisions=float32") == 0
    rows = capsys.readouterr().out.split("| ours train_full | ")[1]
    start, built, peak = map(float, rows.split(" |\n")[0].split(" | "))
    assert 200 < start < 2000 and 0 < built <= peak < 2000
