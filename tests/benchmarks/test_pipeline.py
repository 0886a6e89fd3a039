"""Ways to make batches, and how random an order is, on numbers worked out by hand."""

import itertools
import json
import math

import numpy as np
import pytest

from adapters_tf.data.batches import train_batches
from adapters_tf.data.examples import Examples
from adapters_tf.models.task import Task
from adapters_tf.tasks.text_kind import tokenize
from adapters_tf.training.config import TrainConfig, TrainJob
from adapters_tf.training.model_pool import build_task_model
from benchmarks import jobs
from benchmarks.data import find_ratios
from benchmarks.data_ways import (
    BUCKETED,
    LONGEST,
    PADDED,
    WAYS,
    WayTrainer,
    class_spread,
    measure_fill,
    measure_order,
    seconds_of_input,
    share_met_again,
    way_batches,
)


def test_fill_by_hand():
    # Two batches: like lengths together need 2 x 8 and 2 x 24 tokens; whatever else
    # the shuffle makes, each of its batches needs at least the longest row's.
    lengths = np.array([8, 24, 8, 24])
    fill = measure_fill(lengths, batch_size=2, seq_length=32)
    assert fill[BUCKETED] == {"steps": 2, "padded_tokens": 64, "fill": 1.0}
    assert fill[PADDED] == {"steps": 2, "padded_tokens": 128, "fill": 0.5}
    batches = way_batches(LONGEST, lengths, 2, 0, 0)
    padded = sum(2 * lengths[rows].max() for rows in batches)
    assert fill[LONGEST]["padded_tokens"] == padded


@pytest.mark.parametrize("way", WAYS)
def test_each_way_takes_each_row_once(way):
    lengths = np.random.default_rng(0).integers(3, 40, 101)
    batches = way_batches(way, lengths, 8, 0, 0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(101))
    again, other = (way_batches(way, lengths, 8, 0, epoch) for epoch in (0, 1))
    assert np.concatenate(batches).tolist() == np.concatenate(again).tolist()
    assert np.concatenate(batches).tolist() != np.concatenate(other).tolist()


def test_mates_met_again_by_hand():
    one = [np.array([0, 1, 2]), np.array([3, 4, 5])]
    assert share_met_again(one, one, 6) == 1
    # 0 and 1 stay together, 4 and 5 too: 4 of 12 ordered pairs.
    other = [np.array([0, 1, 3]), np.array([2, 4, 5])]
    assert share_met_again(one, other, 6) == pytest.approx(4 / 12)


def test_class_spread_by_hand():
    labels = np.array([0, 0, 1, 1])
    # Shares of 1 and 0, or twice 1/2, instead of a variance of 1/4 / 2 * 2/3.
    apart = [np.array([0, 1]), np.array([2, 3])]
    assert class_spread(apart, labels) == pytest.approx(0.25 * 12)
    assert class_spread([np.array([0, 2]), np.array([1, 3])], labels) == 0


def test_a_fair_shuffle_is_found_to_be_one_and_a_curriculum_is_not():
    random = np.random.default_rng(0)
    lengths, labels = random.integers(3, 60, 2000), random.integers(0, 2, 2000)
    fair = [way_batches(LONGEST, lengths, 20, 0, epoch) for epoch in range(4)]
    for found in measure_order(fair, lengths, labels).values():
        if "deviation" in found:
            assert abs(found["value"] - found["fair"]) < 4 * found["deviation"]
        else:
            assert found["value"] == pytest.approx(found["fair"], rel=0.2)
    rows = np.argsort(lengths)
    sort = [[rows[i : i + 20] for i in range(0, 2000, 20)]] * 2
    found = measure_order(sort, lengths, labels)
    for name in ("step against the epoch before", "step against length"):
        assert found[name]["value"] > 0.99
    assert found["pairs that share a batch again"]["value"] == 1


def test_ratios():
    def epoch(wall):
        return {"wall_seconds": wall, "input_seconds": 0.5}

    result = {
        "task": "sst2",
        "options": {"seq_length": 128},
        "epochs": {BUCKETED: epoch(2.0), LONGEST: epoch(3.0), PADDED: epoch(7.0)},
    }
    faster, share = find_ratios(result)
    assert "padded to 128 tokens" in faster.what
    assert (faster.setting, faster.value, share.value) == ("sst2", 3.5, 0.25)


def test_the_trainer_gets_the_batches_of_the_way(small_preset):
    """`WayTrainer` overrides two methods of the trainer's own."""
    task = Task("rows", "classification", ("text",), ("no", "yes"))
    texts = ["the film " * n for n in (1, 2, 3, 5, 7, 9, 11, 13)] * 5
    examples = Examples((texts,), np.arange(40, dtype=np.int32) % 2)
    model = build_task_model(TrainJob(preset=small_preset, seq_length=32), task)
    features = tokenize(examples, model.preprocessor)
    config = TrainConfig(epochs=1, batch_size=4, seed=3)
    trainer = WayTrainer(model, features, config)
    trainer.seq_length = 32
    shapes = {}
    for way in WAYS:
        trainer.begin(features, config, way)
        trainer.train_loop_begin()
        data = itertools.islice(iter(trainer.train_dataset), trainer.total_steps)
        batches = [(x["token_ids"].numpy(), y.numpy()) for x, y, _ in data]
        shapes[way] = [ids.shape for ids, _ in batches]
        wanted = way_batches(way, features.lengths, 4, 3, 0)
        for (_, y), rows in zip(batches, wanted, strict=True):
            assert y.tolist() == examples.labels[rows].tolist()
    assert set(shapes[PADDED]) == {(4, 32)}
    longest = [
        -(-features.lengths[rows].max() // 8) * 8
        for rows in train_batches(features.lengths, 4, 3, 0)
    ]
    assert [length for _, length in shapes[BUCKETED]] == longest
    assert set(longest) == {8, 16, 24, 32}
    trainer.begin(features, config, BUCKETED)
    assert seconds_of_input(trainer) > 0


@pytest.mark.slow
def test_data_quick(call, small_preset, tmp_path, capsys, numbers):
    folder = tmp_path / "SST-2"
    folder.mkdir()
    for name in ("train", "dev"):
        lines = ["sentence\tlabel"]
        lines += [f"{'the film ' * (1 + i % 9)}\t{i % 2}" for i in range(200)]
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    output = tmp_path / "data.json"
    args = (f"--preset={small_preset}", f"--data_dir={tmp_path}", "--seq_length=32")
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
    markdown = output.with_suffix(".md").read_text()
    assert markdown in capsys.readouterr().out
    assert "| every row to the longest input | 13 | 6,400 | " in markdown
