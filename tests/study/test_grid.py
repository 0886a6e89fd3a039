"""Settings, grids and sweep files."""

import dataclasses
import json

import pytest

from adapters_tf.errors import UserError
from adapters_tf.study.grid import GRIDS, Block, Setting, expand
from adapters_tf.study.sweep import Sweep, read_sweep
from adapters_tf.tasks.source import TaskSource


def test_names_are_distinct_and_tell_what_is_varied():
    setting = Setting("mrpc", "adapters", 3, 2, 3e-4, bottleneck_dim=64)
    assert setting.name == "mrpc.adapters-64.lr0.0003.e3.s2"
    assert setting.initializer_stddev == 0.01
    assert Setting("t", "top_n", 3, 0, 1e-4, top_n=2).name == "t.top_n-2.lr0.0001.e3.s0"
    assert Setting("t", "no_bert", 20).name == "t.no_bert.e20.s0"
    other = dataclasses.replace(setting, initializer_stddev=1e-7, batch_size=16)
    assert other.name == "mrpc.adapters-64.lr0.0003.e3.b16.sd1e-07.s2"
    assert Setting(**other.to_dict()) == other
    top = dataclasses.replace(setting, top_layers=3)
    assert top.name == "mrpc.adapters-64-top3.lr0.0003.e3.s2"
    assert Setting(**top.to_dict()) == top


@pytest.mark.parametrize(
    "fields, text",
    [
        ({"method": "lora"}, "method must be one of adapters, full.*'lora'"),
        ({"method": "full"}, "method='full' needs a learning_rate"),
        (
            {"method": "full", "learning_rate": 1e-4, "bottleneck_dim": 8},
            "method='full' takes no bottleneck_dim. Received: bottleneck_dim=8",
        ),
        ({"method": "top_n", "learning_rate": 1e-4}, "method='top_n' needs a top_n"),
        ({"method": "no_bert", "learning_rate": 1e-4}, "takes no learning_rate"),
        (
            {"method": "full", "learning_rate": 1e-4, "top_layers": 2},
            "method='full' takes no top_layers. Received: top_layers=2",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(fields, text):
    with pytest.raises(ValueError, match=text):
        Setting("t", epochs=1, **fields)


def test_expand_makes_each_trial_once_sizes_together():
    blocks = [
        Block.from_dict(
            {"bottleneck_dim": [8, 64], "learning_rate": ["3e-4", 1e-3], "epochs": 2}
        ),
        Block.from_dict({"method": "full"}),
        Block.from_dict({"bottleneck_dim": 8, "learning_rate": 1e-3, "epochs": 2}),
    ]
    found = expand(blocks, ["a", "b"], [0, 1])
    assert len(found) == len(set(found)) == 2 * 2 * (2 * 2) + 2 * 2
    variants = [s.variant for s in found]
    assert variants == ["adapters-8"] * 8 + ["adapters-64"] * 8 + ["full"] * 4
    assert [s.name for s in found[:5]] == [
        "a.adapters-8.lr0.0003.e2.s0",
        "a.adapters-8.lr0.0003.e2.s1",
        "a.adapters-8.lr0.001.e2.s0",
        "a.adapters-8.lr0.001.e2.s1",
        "b.adapters-8.lr0.0003.e2.s0",
    ]
    assert found[-1] == Setting("b", "full", 3, 1, 1e-4)


def test_adapters_in_the_top_blocks():
    block = Block.from_dict({"top_layers": [1, 2], "bottleneck_dim": 8})
    sweep = Sweep((TaskSource("cola"),), (block,))
    jobs = [sweep.job(setting) for setting in sweep.settings()]
    assert [job.adapter.layers for job in jobs] == [(-1,), (-2, -1)]
    every = Sweep((TaskSource("cola"),), (Block.from_dict({}),))
    assert sweep.job(every.settings()[0]).adapter.layers is None


@pytest.mark.parametrize(
    "block, text",
    [
        ({"method": "lora"}, "method must be one of"),
        ({"rate": 1}, "A grid varies bottleneck_dim, .* Received: rate"),
        ({"epochs": [3, "many"]}, "epochs must be whole numbers above 0"),
        ({"epochs": 1.5}, "epochs must be whole numbers above 0. Received: epochs=1.5"),
        ({"learning_rate": [0]}, "learning_rate must be numbers above 0"),
        ({"learning_rate": []}, "learning_rate must have a value"),
        ({"learning_rate": True}, "learning_rate must be numbers above 0"),
    ],
)
def test_blocks_that_are_wrong_are_refused(block, text):
    with pytest.raises(UserError, match=text):
        Block.from_dict(block)


def test_blocks_refuse_what_the_method_does_not_take():
    block = Block.from_dict({"method": "full", "bottleneck_dim": 8})
    with pytest.raises(UserError, match="takes no bottleneck_dim"):
        block.settings("t", [0])


def test_grids_of_the_paper():
    with_tasks = {name: {"tasks": ["rte"], **grid} for name, grid in GRIDS.items()}
    counts = {
        name: len(Sweep.from_dict(grid).settings()) // len(grid["tasks"])
        for name, grid in with_tasks.items()
    }
    # GLUE: 3 sizes and full fine-tuning, 3 rates, 2 epochs, 5 seeds. Additional: 6
    # sizes, full and 8 top_n, 4 rates, 3 epochs; and no_bert. SQuAD: 4 sizes and full,
    # 3 rates, 2 epochs, 3 seeds.
    assert counts == {
        "glue": 4 * 3 * 2 * 5,
        "additional": (6 + 1 + 8) * 4 * 3 + 1,
        "squad": 5 * 3 * 2 * 3,
        "init_scale": 8 * 3,
    }
    assert len(GRIDS["glue"]["tasks"]) == 8 and "wnli" not in GRIDS["glue"]["tasks"]


def test_sweep_files_in_yaml_and_json(tmp_path):
    text = """
tasks: [cola, {name: mine, train_file: rows.csv, text_columns: [a, b]}]
data_dir: glue
max_train_examples: 100
seeds: [0, 1]
preset: base
grid:
  - {method: adapters, bottleneck_dim: [8], learning_rate: [3e-4]}
"""
    path = tmp_path / "s.yaml"
    path.write_text(text)
    values = read_sweep(str(path))
    sweep = Sweep.from_dict(values)
    cola, mine = sweep.tasks
    assert (cola.name, cola.data_dir, cola.max_train_examples) == ("cola", "glue", 100)
    assert mine.format.text_columns == ("a", "b")
    assert mine.format.label_column == "label"
    assert mine.task_name == "mine" and mine.max_train_examples == 100
    job = sweep.job(sweep.settings()[0])
    assert (job.preset, job.adapter.bottleneck_dim) == ("base", 8)
    assert job.config.learning_rate == 3e-4
    same = tmp_path / "s.json"
    same.write_text(json.dumps(values))
    assert Sweep.from_dict(read_sweep(str(same))) == sweep


@pytest.mark.parametrize(
    "change, text",
    [
        ({"task": []}, "A sweep has the keys .*'task'. Did you mean 'tasks'"),
        ({"seeds": 3}, "seeds must be a list. Received: seeds=3"),
        ({"seeds": [0.5]}, "seeds must be whole numbers from 0"),
        ({"tasks": []}, "A sweep needs tasks, a grid and seeds"),
        ({"tasks": ["rte", "rte"]}, "different names. Received: 'rte'"),
        ({"tasks": [{"name": "a/b"}]}, "fit for the name of a directory.*'a/b'"),
        ({"tasks": [{"nmae": "a"}]}, "A task takes .* Received: nmae"),
    ],
)
def test_sweeps_that_are_wrong_are_refused(change, text):
    with pytest.raises(UserError, match=text):
        Sweep.from_dict({"tasks": ["rte"], "grid": [{}], **change})


def test_files_that_are_no_grid_are_refused(tmp_path):
    with pytest.raises(UserError, match="one of glue, additional.*Received: 'gleu'"):
        read_sweep("gleu")
    with pytest.raises(UserError, match="could not be read.*No such file"):
        read_sweep(str(tmp_path / "none.yaml"))
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [1")
    with pytest.raises(UserError, match="must be YAML or JSON"):
        read_sweep(str(bad))
    bad.write_text("- 1\n")
    with pytest.raises(UserError, match="must hold keys and values.*a list"):
        read_sweep(str(bad))
