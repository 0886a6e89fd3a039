"""The search: selection, resuming, damage. Most tests train nothing."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import sklearn.metrics

from adapters_tf.data.examples import QuestionExamples, TaskData
from adapters_tf.errors import DataError, UserError
from adapters_tf.models.task import Task
from adapters_tf.study import baseline_search as search_lib
from adapters_tf.study.baseline_search import BaselineSearch, search_baseline
from adapters_tf.study.baseline_tokens import word_table
from adapters_tf.study.baseline_trial import Trial, run_trial

SEARCH = BaselineSearch(trials=5, seed=3)


class FakeTrials:
    """In the place of `run_trial`: a score from the learning rate."""

    def __init__(self):
        self.run = []
        self.fail_at = None

    def __call__(self, data, table, hyperparameters, epochs, batch_size, seed):
        if len(self.run) == self.fail_at:
            raise KeyboardInterrupt
        self.run.append(hyperparameters)
        n = len(data.dev)
        return Trial(
            hyperparameters=hyperparameters.to_dict(),
            dev={"accuracy": hyperparameters.learning_rate, "f1_macro": 0.0},
            predictions=[i % 2 for i in range(n)],
            trained_parameters=7,
            epoch=1,
            epochs=4,
            seconds=2.0,
        )


@pytest.fixture
def fake(monkeypatch):
    trials = FakeTrials()
    monkeypatch.setattr(search_lib, "run_trial", trials)
    monkeypatch.setattr(
        search_lib,
        "token_tables",
        lambda data, *_: dict.fromkeys(["base", "random"], word_table(data, 8)),
    )
    return trials


def find(data, directory, search=SEARCH, preset="some"):
    return search_baseline(data, preset, search, directory)


def same(a, b):
    """Whether two results are, but for the time they took."""
    return dataclasses.replace(a, seconds=0) == dataclasses.replace(b, seconds=0)


def test_the_best_trial_is_selected(fake, keyword_data, tmp_path):
    result = find(keyword_data, tmp_path / "deep" / "search")
    rates = [h.learning_rate for h in fake.run]
    assert len(set(rates)) == 5
    assert result.dev["accuracy"] == max(rates)
    assert result.hyperparameters == fake.run[int(np.argmax(rates))].to_dict()
    assert [t["score"] for t in result.trials] == rates
    assert 10 <= result.seconds < 15
    labels = keyword_data.dev.labels
    assert result.confusion["labels"] == ["no", "yes"]
    np.testing.assert_array_equal(
        result.confusion["counts"],
        sklearn.metrics.confusion_matrix(labels, np.arange(60) % 2),
    )


def test_only_small_files_stay(fake, keyword_data, tmp_path):
    find(keyword_data, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "baseline.json",
        "search.json",
    ]


def test_a_finished_search_is_not_run_again(fake, keyword_data, tmp_path):
    result = find(keyword_data, tmp_path)
    again = find(keyword_data, tmp_path)
    assert again == result
    assert len(fake.run) == 5


@pytest.mark.parametrize("after", range(5))
def test_a_stopped_search_goes_on(fake, keyword_data, tmp_path, after):
    whole = find(keyword_data, tmp_path / "whole")
    expected, fake.run, fake.fail_at = fake.run, [], after
    with pytest.raises(KeyboardInterrupt):
        find(keyword_data, tmp_path / "stopped")
    fake.fail_at = None
    assert same(find(keyword_data, tmp_path / "stopped"), whole)
    # No trial was run twice.
    assert fake.run == expected


# What a kill in the midst of a write, or a full disk, may leave.
@pytest.mark.parametrize("content", [b"", b'{"ongoing_tri', b"\0\0\0", b"[]"])
@pytest.mark.parametrize(
    "damaged, run_again",
    [
        ("keras_tuner/oracle.json", 0),
        ("keras_tuner/tuner0.json", 0),
        ("keras_tuner/trial_1/trial.json", 0),
        ("trials/*.json", 3),
        ("search.json", 3),
    ],
)
def test_damaged_files(fake, keyword_data, tmp_path, damaged, run_again, content):
    whole = find(keyword_data, tmp_path / "whole")
    fake.run, fake.fail_at = [], 3
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        find(keyword_data, stopped)
    files = list(stopped.glob(damaged))
    assert len(files) == (3 if "*" in damaged else 1)
    for file in files:
        file.write_bytes(content)
    fake.run, fake.fail_at = [], None
    assert same(find(keyword_data, stopped), whole)
    assert len(fake.run) == 2 + run_again


def test_a_damaged_result_is_searched_for_again(fake, keyword_data, tmp_path):
    result = find(keyword_data, tmp_path)
    (tmp_path / "baseline.json").write_text('{"dev": {"accu')
    assert same(find(keyword_data, tmp_path), result)
    assert len(fake.run) == 10


@pytest.mark.parametrize("finished", [True, False])
def test_another_search_in_the_directory(fake, keyword_data, tmp_path, finished):
    fake.fail_at = None if finished else 2
    try:
        find(keyword_data, tmp_path)
    except KeyboardInterrupt:
        pass
    more = dataclasses.replace(SEARCH, trials=9)
    with pytest.raises(UserError, match=r"other settings \(trials was 5 and is 9\)"):
        find(keyword_data, tmp_path, more)
    with pytest.raises(UserError, match="preset was 'some' and is 'other'"):
        find(keyword_data, tmp_path, preset="other")
    rows = dataclasses.replace(keyword_data, train=keyword_data.dev)
    with pytest.raises(UserError, match="data was .* Give the same settings"):
        find(rows, tmp_path)


def test_the_seed_decides_what_is_drawn(fake, keyword_data, tmp_path):
    def drawn(name, seed):
        fake.run = []
        find(keyword_data, tmp_path / name, dataclasses.replace(SEARCH, seed=seed))
        return fake.run

    first = drawn("a", 0)
    assert drawn("b", 0) == first
    # Seeds that are neighbours have nothing in common.
    rates = {h.learning_rate for h in drawn("c", 1)}
    assert rates.isdisjoint(h.learning_rate for h in first)


def test_a_worker_of_a_sweep_searches_alone(fake, keyword_data, tmp_path, monkeypatch):
    whole = find(keyword_data, tmp_path / "a")
    # Keras Tuner would ask this chief for trials, and wait for it.
    chief = {"TUNER_ID": "worker-1", "ORACLE_IP": "127.0.0.1", "ORACLE_PORT": "9"}
    for name, value in chief.items():
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    assert same(find(keyword_data, tmp_path / "b"), whole)
    for name, value in chief.items():
        assert os.environ[f"KERASTUNER_{name}"] == value


def test_errors_of_a_trial_end_the_search(fake, keyword_data, tmp_path, monkeypatch):
    def fail(*_):
        raise DataError("the very error")

    monkeypatch.setattr(search_lib, "run_trial", fail)
    with pytest.raises(DataError, match="^the very error$"):
        find(keyword_data, tmp_path)


def test_question_answering_is_refused(tmp_path):
    rows = QuestionExamples(["1"], ["who?"], ["me"], [("me",)], [(0,)])
    task = Task("squad", "question_answering", ("question", "context"))
    with pytest.raises(UserError, match="classification and regression.*'squad'"):
        find(TaskData(task, rows, rows), tmp_path / "search")
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize("name", ["trials", "epochs", "batch_size", "max_length"])
def test_sizes(name):
    with pytest.raises(ValueError, match=f"{name} must be 1 or more. .*{name}=0"):
        BaselineSearch(**{name: 0})


@pytest.mark.parametrize("seed", [-1, 2**31 - 1])
def test_bad_seed(seed):
    with pytest.raises(ValueError, match=f"seed must be from 0 .*seed={seed}"):
        BaselineSearch(seed=seed)


def test_bad_embeddings_file_is_refused_before_training(
    keyword_data, tiny_preset, tmp_path
):
    search = BaselineSearch(embeddings_file=str(tmp_path / "no.txt"))
    with pytest.raises(DataError, match="no.txt: No such file"):
        find(keyword_data, tmp_path / "search", search, tiny_preset)


def test_numbers_have_no_confusion(fake, number_data, tmp_path):
    assert find(number_data, tmp_path).confusion is None


def test_a_real_search(keyword_data, tiny_preset, tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("good 1 0\nfine 1 0\nbad 0 1\npoor 0 1\nthe 0 0\n")
    search = BaselineSearch(
        trials=3, epochs=10, batch_size=16, seed=0, embeddings_file=str(vectors)
    )
    result = find(keyword_data, tmp_path / "search", search, tiny_preset)
    assert result.dev == {"accuracy": 1.0, "f1_macro": 1.0}
    assert result.predictions == keyword_data.dev.labels.tolist()
    counts = np.bincount(keyword_data.dev.labels)
    assert result.confusion["counts"] == [[counts[0], 0], [0, counts[1]]]
    assert {t["hyperparameters"]["embedding"] for t in result.trials} >= {"file"}


KILLED = """
import sys
sys.path.insert(0, {tests!r})
import conftest
from adapters_tf.study.baseline_search import BaselineSearch, search_baseline
from adapters_tf.data.examples import TaskData

data = TaskData(
    conftest.make_task(metrics=("accuracy", "f1_macro")),
    conftest.keyword_rows(200, seed=1),
    conftest.keyword_rows(60, seed=2),
)
search_baseline(data, {preset!r}, BaselineSearch(**{search!r}), {directory!r})
"""


@pytest.mark.slow
def test_a_killed_process_goes_on(keyword_data, tiny_preset, tmp_path, monkeypatch):
    search = {"trials": 4, "epochs": 2, "batch_size": 16, "seed": 1}
    directory = tmp_path / "killed"
    program = KILLED.format(
        tests=__file__.rpartition("/")[0],
        preset=tiny_preset,
        search=search,
        directory=str(directory),
    )
    process = subprocess.Popen([sys.executable, "-P", "-c", program])
    deadline = time.monotonic() + 300
    while len(list(directory.glob("trials/*.json"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    known = len(list(directory.glob("trials/*.json")))
    search = BaselineSearch(**search)
    calls = []

    def counted(*args):
        calls.append(args)
        return run_trial(*args)

    monkeypatch.setattr(search_lib, "run_trial", counted)
    result = find(keyword_data, directory, search, tiny_preset)
    assert len(calls) == 4 - known < 4
    assert same(result, find(keyword_data, tmp_path / "whole", search, tiny_preset))
