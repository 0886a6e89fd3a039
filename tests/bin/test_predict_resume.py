"""adapters-tf-predict, killed and started again: what counts as the same command."""

import json
import os
import types

import pytest

from adapters_tf.bin import evaluate, predict
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.models.task import Task
from adapters_tf.tasks.build import build_model


class Killed(BaseException):
    pass


@pytest.fixture
def start(call, sentiment_csv, tmp_path, monkeypatch):
    """Function: predict, without a model; each record names the start.

    What is called before each window may end the program.
    """
    task = Task("t", "classification", ("text",), ("neg", "pos"))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter.json").write_text("{}")
    starts = 0

    def start(*flags, before=lambda window: None):
        nonlocal starts
        starts += 1
        windows = 0

        def predict_window(rows):
            nonlocal windows
            windows += 1
            before(windows)
            return [{"start": starts, "text": text} for text in rows.texts[0]]

        loaded = types.SimpleNamespace(task=task)
        stand_in = predict_window, loaded
        monkeypatch.setattr(predict, "_predict_one", lambda flags: stand_in)
        command = [f"--adapter={adapter}", f"--file={sentiment_csv}", "--batch_size=1"]
        return call(predict, *command, f"--output={tmp_path / 'out.jsonl'}", *flags)

    return start


def kill_in_third(window):
    if window == 3:
        raise Killed


@pytest.mark.parametrize(
    ("change", "flags"),
    [
        (None, []),
        ("rows.csv", []),
        ("adapter/adapter.json", []),
        (None, ["--batch_size=2"]),
        (None, ["--encoding=latin-1"]),
    ],
)
def test_only_the_same_command_goes_on(start, tmp_path, change, flags, capsys):
    with pytest.raises(Killed):
        start(before=kill_in_third)
    if change:
        with open(tmp_path / change, "a") as file:
            file.write("so lovely,pos\n")
    assert start(*flags) == 0
    records = (tmp_path / "out.jsonl").read_text().splitlines()
    starts = [json.loads(record)["start"] for record in records]
    if change or flags:
        assert starts == [2] * (201 if change == "rows.csv" else 200)
    else:
        assert starts == [1] * 128 + [2] * 72
        assert "going on behind row 128 of 200" in capsys.readouterr().out


def test_other_rows_of_the_same_size_and_time(start, tmp_path):
    with pytest.raises(Killed):
        start(before=kill_in_third)
    file = tmp_path / "rows.csv"
    status, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-2] + b"x\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # as cp -p does
    assert start() == 0
    records = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(record)["start"] for record in records] == [2] * 200


def test_rows_that_change_meanwhile(start, tmp_path, capsys):
    def change(window):
        if window == 2:
            with open(tmp_path / "rows.csv", "a") as file:
                file.write("so lovely,pos\n")

    assert start(before=change) == 2
    assert "rows.csv', which has changed" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()
    assert start() == 0
    records = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(record)["start"] for record in records] == [2] * 201


def test_an_output_that_is_there(start, tmp_path, capsys):
    output = tmp_path / "out.jsonl"
    output.write_text("mine")
    assert start() == 2
    assert "give --overwrite" in capsys.readouterr().err
    assert output.read_text() == "mine"
    assert start("--overwrite") == 0
    assert len(output.read_text().splitlines()) == 200


def test_outputs_that_would_replace_what_is_no_output(
    start, sentiment_csv, tmp_path, capsys
):
    with open(sentiment_csv) as file:
        rows = file.read()
    link = tmp_path / "link.csv"
    link.symlink_to(sentiment_csv)
    for output, reason in (
        (sentiment_csv, "--output must be another file than the rows'. Received: "),
        (link, "--output must be another file than the rows'. Received: "),
        (tmp_path, f"--output must be a file. Received: '{tmp_path}', which is a dir"),
    ):
        before = sorted(p.name for p in tmp_path.iterdir())
        assert start("--overwrite", f"--output={output}") == 2
        assert reason in capsys.readouterr().err
        assert sorted(p.name for p in tmp_path.iterdir()) == before
    with open(sentiment_csv) as file:
        assert file.read() == rows


def test_an_adapter_without_its_task(
    call, sentiment_csv, tiny_preset, tmp_path, capsys
):
    head = {"num_classes": 2}
    model = build_model("classification", tiny_preset, seq_length=8, head=head)
    adapter = model.get_adapter(preset=str(tiny_preset), task={})
    save_adapter(adapter, tmp_path / "adapter")
    flags = [f"--adapter={tmp_path / 'adapter'}", f"--file={sentiment_csv}"]
    for program, more in (
        (predict, [f"--output={tmp_path / 'out'}"]),
        (predict, [f"--output={tmp_path / 'out'}", f"--adapter=a={tmp_path}/adapter"]),
        (evaluate, []),
    ):
        assert call(program, *flags, *more) == 2
        error = capsys.readouterr().err
        assert "error: The programs need an adapter's task" in error
        assert "Received: one without kind, name, text_columns" in error
        assert "get_adapter(task=Task(...).to_dict())" in error
    assert not (tmp_path / "out").exists()
