"""Results on disk, their selection and estimates, and which trial is next."""

import json
import math

import pytest

from adapters_tf.errors import DataError, UserError
from adapters_tf.study.report.labels import metric_label, rate_text, share_text
from adapters_tf.study.results import (
    Estimate,
    average,
    by_setting,
    of_sample,
    read_results,
    select,
)
from adapters_tf.study.store import Store
from adapters_tf.study.sweep import Plan, Sweep


def write(path, results):
    lines = [json.dumps(r.to_dict()) for r in results]
    path.write_text("\n".join(lines) + "\n")


def test_results_come_back_and_the_last_file_counts(tmp_path, make_result):
    a, b = make_result("rte", "full", 0.5), make_result("rte", "adapters", 0.6)
    newer = make_result("rte", "full", 0.7)
    write(tmp_path / "results.jsonl", [a, b])
    write(tmp_path / "more.jsonl", [newer])
    assert read_results([tmp_path]) == [a, b]
    assert read_results([tmp_path, tmp_path / "more.jsonl"]) == [newer, b]


def test_lines_that_are_no_results_are_refused(tmp_path, make_result):
    path = tmp_path / "results.jsonl"
    with pytest.raises(DataError, match="JSON lines that adapters-tf-sweep writes"):
        read_results([path])
    good = make_result("rte", "full", 0.5).to_dict()
    for record, text in (
        ({k: v for k, v in good.items() if k != "score"}, "line 2.*'score'"),
        ({**good, "extra": 1}, "line 2: unknown fields extra"),
        ({**good, "method": "lora"}, "line 2: method must be one of"),
        ([1], "line 2"),
    ):
        path.write_text(f"{json.dumps(good)}\n{json.dumps(record)}\n")
        with pytest.raises(DataError, match=text):
            read_results([path])


def test_selection_by_the_mean_over_shared_seeds(make_result):
    low = [
        make_result("t", "full", s, i, learning_rate=1e-4)
        for i, s in enumerate((0.7, 0.8))
    ]
    # Better on the seeds that both have; its third seed is below, and is not asked.
    high = [make_result("t", "full", s, i) for i, s in enumerate((0.8, 0.81, 0.1))]
    other = [make_result("t", "adapters", 0.6), make_result("u", "full", 0.3)]
    selected = select([*low, *other, *high])
    assert list(selected) == [("t", "full"), ("t", "adapters-64"), ("u", "full")]
    winner = selected["t", "full"]
    assert winner.setting.learning_rate == 1e-3
    assert winner.scores == (0.8, 0.81, 0.1)
    assert winner.mean == pytest.approx(0.57)
    # Deviations 0.23, 0.24, -0.47: variance 0.1657, over 3.
    variance = (0.23**2 + 0.24**2 + 0.47**2) / 2
    assert winner.estimate.sem == pytest.approx(math.sqrt(variance / 3))
    assert winner.best.score == 0.81
    assert selected["u", "full"].estimate.sem is None
    assert len(by_setting([*low, *high])) == 2
    sizes = [make_result("t", "adapters", 0.9, bottleneck_dim=8)]
    over_sizes = select([*other, *sizes], lambda s: (s.task, s.method))
    assert over_sizes["t", "adapters"].setting.bottleneck_dim == 8


def sweep(**changes):
    values = {
        "tasks": ["rte", "mrpc"],
        "grid": [{"method": "full", "learning_rate": [1e-4, 1e-3]}],
        "final_seeds": [0, 1, 2],
    }
    return Sweep.from_dict({**values, **changes})


def test_plan_runs_the_grid_then_more_seeds_of_the_best(make_result):
    plan, done = Plan(sweep()), {}
    assert plan.num_trials == 4 + 2 * 2
    scores = {
        ("rte", 1e-4): 0.5,
        ("rte", 1e-3): 0.7,
        ("mrpc", 1e-4): 0.9,
        ("mrpc", 1e-3): 0.8,
    }
    order = []
    while (setting := plan.next(done, [])) is not None:
        order.append((setting.task, setting.learning_rate, setting.seed))
        score = scores[setting.task, setting.learning_rate] - 0.4 * (setting.seed > 0)
        result = make_result(
            setting.task,
            "full",
            score,
            setting.seed,
            learning_rate=setting.learning_rate,
        )
        assert result.setting == setting
        done[setting.name] = result
    assert order == [
        *((task, rate, 0) for task, rate in scores),
        *(("rte", 1e-3, seed) for seed in (1, 2)),
        *(("mrpc", 1e-4, seed) for seed in (1, 2)),
    ]
    assert len(done) == plan.num_trials


def test_plan_gives_out_no_trial_twice(make_result):
    plan, running = Plan(sweep()), []
    while (setting := plan.next({}, running)) is not None:
        running.append(setting.name)
    # The grid; the final seeds wait for it.
    assert len(running) == len(set(running)) == 4


def test_store_keeps_results_and_the_best_adapters(tmp_path, make_result):
    store = Store(tmp_path / "out")
    results = [
        make_result("rte", "adapters", 0.5, 0),
        make_result("rte", "adapters", 0.7, 1),
        make_result("rte", "adapters", 0.6, 2),
        make_result("mrpc", "adapters", 0.1, 0),
    ]
    with store.open(sweep()):
        for result in results:
            run = store.trial_dir(result.setting) / "run"
            (run / "adapter").mkdir(parents=True)
            (run / "adapter" / "weights").write_text(result.setting.name)
            (run / "checkpoint").write_text("big")
            store.save(result)
        store.publish()
        with pytest.raises(UserError, match="Another run is writing"):
            with Store(tmp_path / "out").open(sweep()):
                pass
    assert read_results([tmp_path / "out"]) == sorted(
        results, key=lambda r: r.setting.name
    )
    kept = sorted(p.parent.name for p in (tmp_path / "out").glob("trials/*/adapter"))
    assert kept == ["mrpc.adapters-64.lr0.001.e3.s0", "rte.adapters-64.lr0.001.e3.s1"]
    assert not list((tmp_path / "out").glob("trials/*/run"))
    again = Store(tmp_path / "out")
    assert again.result(results[1].setting) == results[1]
    assert again.result(results[1].setting.with_seed(9)) is None


def test_store_refuses_other_data_and_takes_a_larger_grid(tmp_path):
    out = tmp_path / "out"
    with Store(out).open(sweep()):
        pass
    with Store(out).open(sweep(tasks=["rte", "cola"], seeds=[0, 1])):
        pass
    with pytest.raises(UserError, match="Received: another preset, seq_length than in"):
        with Store(out).open(sweep(preset="base", seq_length=64)):
            pass
    with pytest.raises(UserError, match="Received: another task mrpc than in"):
        with Store(out).open(sweep(max_train_examples=5, tasks=["mrpc"])):
            pass
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files: thesis.txt"):
        with Store(other).open(sweep()):
            pass
    assert [p.name for p in other.iterdir()] == ["thesis.txt"]


def test_store_refuses_other_rows_and_another_base_once_there_are_trials(tmp_path):
    store = Store(tmp_path / "out")
    rows, other = (
        {"rte": {"train_rows_sha256": "a"}},
        {"rte": {"train_rows_sha256": "b"}},
    )
    with store.open(sweep()):
        store.claim_data(other, "sha256:old")
        store.claim_data(rows, "sha256:one")  # nothing is lost
        (tmp_path / "out" / "trials" / "some").mkdir()
    with store.open(sweep()):
        store.claim_data({"cola": {"train_rows_sha256": "c"}}, "sha256:one")
        store.claim_data(rows, "sha256:one")
        with pytest.raises(UserError, match="the rows of rte have changed since"):
            store.claim_data(other, "sha256:one")
        with pytest.raises(UserError, match="the weights of the base have changed"):
            store.claim_data(rows, "sha256:two")


def test_of_sample_divides_the_deviation_by_the_root_of_n():
    # Deviations 3, 1, -1, -3 of 100: variance 20/3, s.e.m. sqrt(20/3)/2.
    found = of_sample([0.97, 0.99, 1.01, 1.03])
    assert found.mean == pytest.approx(1.0)
    assert found.sem == pytest.approx(0.0129099, rel=1e-4)
    assert of_sample([0.3]) == Estimate(0.3, None)


def test_errors_of_independent_estimates_add_as_squares():
    difference = Estimate(0.9, 0.03) - Estimate(0.8, 0.04)
    assert difference.mean == pytest.approx(0.1)
    assert difference.sem == pytest.approx(0.05)
    mean = average([Estimate(0.2, 0.03), Estimate(0.6, 0.04)])
    assert mean.mean == pytest.approx(0.4)
    assert mean.sem == pytest.approx(0.025)


def test_without_one_error_the_result_has_none():
    assert (Estimate(0.9, 0.03) - Estimate(0.8)).sem is None
    assert average([Estimate(0.2, 0.03), Estimate(0.6)]).sem is None


@pytest.mark.parametrize(
    ("estimate", "digits", "text"),
    [
        (Estimate(0.8578, 0.0044), 1, "85.8 ± 0.4"),
        (Estimate(0.00456), 2, "0.46"),
        (Estimate(-0.0001), 1, "0.0"),
        (Estimate(-0.25, 0.0), 0, "-25 ± 0"),
    ],
)
def test_percent(estimate, digits, text):
    assert estimate.percent(digits) == text


def test_names_and_numbers_of_readers():
    assert metric_label("matthews") == "Matthews (× 100)"
    assert metric_label("f1_macro") == "macro F1 (%)"
    assert metric_label("bleu") == "bleu (× 100)"
    assert [rate_text(r) for r in (3e-5, 3e-4, 3e-3, 0.01, 0.1, 1.0)] == [
        *("3e-5", "3e-4", "3e-3"),
        *("0.01", "0.1", "1"),
    ]
    assert [share_text(s) for s in (0.02668, 0.0000341, 1.0)] == [
        *("2.67%", "0.0034%", "100.00%"),
    ]
