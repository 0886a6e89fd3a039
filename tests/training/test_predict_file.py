"""Predictions of a large file: order, kills, other settings."""

import errno
import fcntl
import io
import json
import os

import pytest

from adapters_tf.data.files import FileFormat
from adapters_tf.data.row_stream import RowStream
from adapters_tf.errors import UserError
from adapters_tf.training.predict_file import PredictionFile, UnchangedRows


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


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_was_finished_just_before_the_lock(
    tmp_path, monkeypatch, overwrite
):
    path, flock = tmp_path / "out.jsonl", fcntl.flock

    def late(file, how):
        # Another process ends between this one's opening and its lock.
        monkeypatch.setattr(fcntl, "flock", flock)
        PredictionFile(path, {}, 4).write(Rows(3), predict)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    second = PredictionFile(path, {"other": 1}, 4, overwrite)
    if overwrite:
        assert second.write(Rows(5), predict) == 0
    else:
        with pytest.raises(UserError, match="out.jsonl' exists; give --overwrite"):
            second.write(Rows(5), predict)
    assert lines(path) == predict(range(5 if overwrite else 3))
    assert list(tmp_path.iterdir()) == [path]


def test_the_next_process_s_file_is_left_alone(tmp_path, monkeypatch):
    path, partial = tmp_path / "out.jsonl", tmp_path / ".out.jsonl.partial"
    replace = os.replace

    def replace_and_begin(source, target):
        replace(source, target)
        if source == partial:
            partial.touch()

    monkeypatch.setattr(os, "replace", replace_and_begin)
    PredictionFile(path, {}, 4).write(Rows(3), predict)
    assert set(tmp_path.iterdir()) == {path, partial}


@pytest.mark.parametrize("count", [8, 13])
def test_as_many_predictions_as_rows(tmp_path, count):
    class Wrong(Rows):
        def __len__(self):
            return 11

    with pytest.raises(UserError, match=f"each of 11 rows. Received: {count};"):
        PredictionFile(tmp_path / "out.jsonl", {}, 4).write(Wrong(count), predict)
    assert list(tmp_path.iterdir()) == []


def csv(count, word="row"):
    return "text\n" + "".join(f"{word} {i}\n" for i in range(count))


@pytest.mark.parametrize("when", ["check", 0, 4, 8])
@pytest.mark.parametrize("count", [3, 30])
def test_a_file_of_rows_that_changes(tmp_path, when, count):
    source, path = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    source.write_text(csv(11))

    def change(moment):
        if moment == when:
            source.write_text(csv(count, "other"))

    def read():
        rows = RowStream(source, FileFormat(("text",)))
        change("check")
        return rows

    def predict(window):
        (texts,) = window.texts
        change(int(texts[0].split()[1]))
        return [{"text": text} for text in texts]

    def write():
        rows = UnchangedRows(source, read)
        return PredictionFile(path, {"file": rows.version}, 4).write(rows, predict)

    message = "must stay as it is .* Received: .*rows.csv', which has changed"
    with pytest.raises(UserError, match=message):
        write()
    assert not path.exists()
    when = None
    assert write() == 0
    assert [r["text"] for r in lines(path)] == [f"other {i}" for i in range(count)]


def test_an_error_of_reading_is_not_one_of_the_output(tmp_path):
    class Unreadable(Rows):
        def windows(self, size, start=0):
            yield [0]
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        PredictionFile(tmp_path / "out.jsonl", {}, 1).write(Unreadable(3), predict)
    (tmp_path / "out.jsonl").mkdir()
    with pytest.raises(UserError, match="--output must be a file. .* is a directory"):
        PredictionFile(tmp_path / "out.jsonl", {}, 1, True).write(Rows(3), predict)


def test_a_full_disk(tmp_path, monkeypatch):
    class Full(io.BufferedRandom):
        def flush(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        "adapters_tf.io.open", lambda *args: Full(io.FileIO(*args)), raising=False
    )
    with pytest.raises(UserError, match="could not be written: No space left"):
        PredictionFile(tmp_path / "out.jsonl", {}, 4).write(Rows(3), predict)


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="could not be written: No such file"):
        PredictionFile(tmp_path / "no" / "out.jsonl", {}, 4).write(Rows(3), predict)
