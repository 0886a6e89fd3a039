"""Parts of the serving benchmark that need no servable."""

import os

import numpy as np
import pytest

from adapters_tf.errors import UserError
from benchmarks.report import check_output, table
from benchmarks.serving import ServingOptions
from benchmarks.serving_build import RandomTasks, bytes_of, size_on_disk
from benchmarks.serving_measure import _difference, spread, take_rows
from benchmarks.texts import SENTENCES, read_lines


def test_sentences_are_200_different_ones_of_like_length():
    assert len(SENTENCES) == len(set(SENTENCES)) == 200
    words = [len(sentence.split()) for sentence in SENTENCES]
    assert min(words) >= 14 and max(words) <= 25


def test_read_lines_skips_blank_ones(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("one\n\n  two \nthree\n")
    assert read_lines(path, 2) == ["one", "two"]
    with pytest.raises(UserError, match="must exist"):
        read_lines(tmp_path / "missing.txt", 2)


@pytest.mark.parametrize(
    ("count", "wanted", "indices"),
    [(256, 4, [0, 64, 128, 192]), (3, 16, [0, 1, 2]), (5, 2, [0, 2]), (1, 1, [0])],
)
def test_spread(count, wanted, indices):
    assert spread(count, wanted) == indices


def test_take_rows_drops_the_padding_of_the_others():
    tokens = {
        "input_word_ids": np.arange(12).reshape(3, 4),
        "input_mask": np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]),
    }
    taken = take_rows(tokens, [2, 0])
    np.testing.assert_array_equal(taken["input_word_ids"], [[8, 9], [0, 1]])
    np.testing.assert_array_equal(taken["input_mask"], [[1, 0], [1, 1]])


def test_files_with_two_names_count_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"12345")
    os.link(tmp_path / "a" / "x", tmp_path / "y")
    (tmp_path / "z").write_bytes(b"123")
    assert size_on_disk(tmp_path) == 8


def test_random_tasks_are_the_same_each_time_and_differ(tiny_preset):
    tasks = RandomTasks(tiny_preset, bottleneck_dim=4, seq_length=16)
    one, again, other = tasks.exported(3), tasks.exported(3), tasks.exported(4)
    for name, value in one.encoder.items():
        np.testing.assert_array_equal(value, again.encoder[name])
    kernel = next(n for n in one.encoder if n.endswith("down_projection/kernel"))
    assert one.encoder[kernel].shape == (16, 4)
    assert np.abs(one.encoder[kernel] - other.encoder[kernel]).min() > 0
    assert [len(tasks.adapter(i).task["labels"]) for i in range(8)] == [
        *(2, 3, 4, 5, 6, 2, 3),
        0,
    ]
    assert tasks.exported(7).config["kind"] == "regression"
    # Two blocks of two adapters, five LayerNorms, a head of 5 classes, all float32;
    # the activation's int32 and the fingerprint's four int64.
    numbers = 4 * (2 * 4 * 16 + 16 + 4) + 5 * 2 * 16 + 5 * 16 + 5
    assert bytes_of(one) == 4 * numbers + 4 + 4 * 8


def outputs(**changes):
    values = {
        "status": np.array([b"ok", b"ok"]),
        "label": np.array([b"x", b"y"]),
        "labels": np.array([[b"x", b"y", b""], [b"x", b"y", b""]]),
        "probabilities": np.array([[0.6, 0.4, 0.0], [0.2, 0.8, 0.0]], np.float32),
    }
    return values | changes


def own(**changes):
    values = outputs()
    del values["status"]
    values["labels"] = values["labels"][:, :2]
    values["probabilities"] = values["probabilities"][:, :2]
    return values | changes


def test_difference():
    assert _difference(outputs(), own()) == {"max_abs": 0.0, "others": 0}
    probabilities = np.array([[0.6, 0.4], [0.25, 0.75]], np.float32)
    found = _difference(outputs(), own(probabilities=probabilities))
    assert found["max_abs"] == pytest.approx(0.05) and found["others"] == 0
    found = _difference(outputs(), own(label=np.array([b"x", b"x"])))
    assert found == {"max_abs": 0.0, "others": 1}
    # A class, or a probability, where the task has none; a row that failed.
    for changes in (
        {"labels": np.array([[b"x", b"y", b"z"], [b"x", b"y", b""]])},
        {"probabilities": np.array([[0.6, 0.4, 0.1], [0.2, 0.8, 0]], np.float32)},
        {"status": np.array([b"unknown task", b"ok"])},
    ):
        assert _difference(outputs(**changes), own())["others"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ()}, "tasks must be different whole numbers of 2 or more"),
        ({"tasks": (16, 16)}, "tasks must be different"),
        ({"tasks": (1,)}, "of 2 or more. Received: tasks=1"),
        ({"rows": (0,)}, "rows must be different whole numbers of 1 or more"),
        ({"rows": (201,)}, "rows must be at most 200"),
        ({"repeats": 0}, "repeats must be 1 or more. Received: repeats=0"),
        ({"agreement_texts": ()}, "one text or more"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(UserError, match=message):
        ServingOptions(**options)


def test_output_is_checked(tmp_path):
    check_output(None)
    check_output(str(tmp_path / "new.json"))
    with pytest.raises(UserError, match="names a .json file"):
        check_output(str(tmp_path / "new.txt"))
    with pytest.raises(UserError, match="in a folder that is there"):
        check_output(str(tmp_path / "missing" / "new.json"))
    (tmp_path / "old.md").write_text("")
    with pytest.raises(UserError, match=r"old.md' exists"):
        check_output(str(tmp_path / "old.json"))


def test_table():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"
