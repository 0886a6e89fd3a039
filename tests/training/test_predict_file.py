"""Predictions of a large file: order, kills, other settings."""

import json

import pytest

from adapters_tf.errors import UserError
from adapters_tf.training.predict_file import PredictionFile


class Rows:
    """Numbers, some at a time."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def windows(self, size, start=0):
        for at in range(start, self.count, size):
            yield list(range(at, min(at + size, self.count)))


class Killed(BaseException):
    pass


def predict(window):
    return [{"row": row, "text": "ä" * (row % 3)} for row in window]


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("count", [1, 4, 10, 12])
def test_all_rows_in_their_order(tmp_path, count):
    path = tmp_path / "out.jsonl"
    assert PredictionFile(path, {}, window=4).write(Rows(count), predict) == 0
    assert lines(path) == predict(range(count))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_goes_on_behind_the_last_whole_window(tmp_path, capsys, cut):
    path, partial = tmp_path / "out.jsonl", tmp_path / ".out.jsonl.partial"
    seen = []

    def killed(window):
        seen.append(window)
        if window[0] == 8:
            raise Killed
        return predict(window)

    with pytest.raises(Killed):
        PredictionFile(path, {"a": (1,)}, window=4).write(Rows(11), killed)
    assert not path.exists()
    whole = partial.read_bytes()
    # Killed in the middle of the second window's write.
    partial.write_bytes(whole[: len(whole) - cut])
    seen.clear()
    done = PredictionFile(path, {"a": (1,)}, window=4).write(
        Rows(11), lambda window: seen.append(window) or predict(window)
    )
    assert done == (4 if cut else 8)
    assert seen[0][0] == done
    assert lines(path) == predict(range(11))
    assert f"going on behind row {done} of 11" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("change", [{"settings": {"a": 2}}, {"window": 2}])
def test_what_was_kept_of_other_settings_is_not_used(tmp_path, change):
    path = tmp_path / "out.jsonl"

    def killed(window):
        if window[0]:
            raise Killed
        return [{"other": row} for row in window]

    with pytest.raises(Killed):
        PredictionFile(path, {"a": 1}, 4).write(Rows(11), killed)
    file = PredictionFile(path, **{"settings": {"a": 1}, "window": 4, **change})
    assert file.write(Rows(11), predict) == 0
    assert lines(path) == predict(range(11))


def test_an_error_before_the_first_row_leaves_nothing(tmp_path):
    def refuse(window):
        raise UserError("no base")

    with pytest.raises(UserError, match="no base"):
        PredictionFile(tmp_path / "out.jsonl", {}, 4).write(Rows(3), refuse)
    assert list(tmp_path.iterdir()) == []


def test_two_processes(tmp_path):
    path = tmp_path / "out.jsonl"

    def also(window):
        with pytest.raises(UserError, match="Another process is writing .*out.jsonl"):
            PredictionFile(path, {}, 4).write(Rows(3), predict)
        return predict(window)

    PredictionFile(path, {}, 4).write(Rows(3), also)
    assert lines(path) == predict(range(3))


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="could not be written: No such file"):
        PredictionFile(tmp_path / "no" / "out.jsonl", {}, 4).write(Rows(3), predict)
