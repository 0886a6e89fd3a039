"""Each error about a file that names a flag: with that flag the file is read."""

import json
import shlex
import types

import numpy as np
import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from adapters_tf.bin import evaluate, predict, sweep, train
from adapters_tf.bin.flags import read_labelled_rows, stream_rows
from adapters_tf.data import demo
from adapters_tf.errors import DataError, UserError
from adapters_tf.preset_names import resolve_preset
from adapters_tf.tasks.file_task import load_file_examples

CAFE = "text,label\ncafé,x\nnice,y\n"
SQUAD = json.dumps(
    {
        "data": [
            {
                "paragraphs": [
                    {
                        "context": "Zoë left.",
                        "qas": [
                            {
                                "id": "1",
                                "question": "Who?",
                                "answers": [{"text": "Zoë", "answer_start": 0}],
                            }
                        ],
                    }
                ]
            }
        ]
    },
    ensure_ascii=False,
)
# The name and bytes of a file, the flags with which it is refused and the error's
# advice as it has it; where adding that is not enough, the flags that read the file.
ADVICE = {
    "latin-1": ("a.csv", CAFE.encode("latin-1"), "", "--encoding=latin-1"),
    "questions": ("a.json", SQUAD.encode("latin-1"), "", "--encoding=latin-1"),
    "flat questions": (
        "a.json",
        '[{"context": "Zoë left.", "question": "Who?", "answer": "Zoë"}]'.encode(
            "latin-1"
        ),
        "",
        "--encoding=latin-1",
    ),
    "words": (
        "a.conll",
        "Zoë B-P\nran O\n".encode("latin-1"),
        "",
        "--encoding=latin-1",
    ),
    "utf-16": ("a.csv", CAFE.encode("utf-16"), "", "--encoding=utf-16"),
    "NUL bytes": (
        "a.csv",
        CAFE.replace("é", "e").encode("utf-16-le"),
        "",
        "--encoding=utf-16",
    ),
    "questions in utf-16": ("a.json", SQUAD.encode("utf-16"), "", "--encoding=utf-16"),
    "one row": (
        "a.csv",
        b"good,1.5\n",
        "--label_kind=number",
        "--header=false",
        "--label_kind=number --header=false --text_columns=0 --label_column=1",
    ),
    "numbers of columns": (
        "a.csv",
        b"good,x\nbad,y\n",
        "--text_columns=0 --label_column=1",
        "--header=false",
    ),
    "quotes": ("a.csv", b'text,label\n"a" b,x\nb,y\n', "", "--quoting=false"),
    "no quotes": (
        "a.csv",
        b'text,label\n"a, b",x\nb,y\n',
        "--quoting=false",
        "--quoting",
    ),
    "semicolons": ("a.csv", b"text;label\na;x\nb;y\n", "", "--delimiter=';'"),
    "tabs": ("a.csv", b"text\tlabel\na\tx\nb\ty\n", "", r"--delimiter='\t'"),
    "commas": ("a.data", b"text,label\na,x\nb,y\n", "", "--delimiter=,"),
    "numbers": (
        "a.csv",
        "".join(["text,label\n", *(f"a{i},{i}.5\n" for i in range(20))]).encode(),
        "--label_kind=class",
        "--label_kind=number",
    ),
    "lists": (
        "a.jsonl",
        b'{"text": "a", "label": ["x", "y"]}\n{"text": "b", "label": []}\n',
        "",
        "--label_kind=multi",
    ),
    "separator": (
        "a.jsonl",
        b'{"text": "a", "label": "x;y"}\n{"text": "b", "label": "x"}\n',
        "--label_kind=multi",
        "--label_separator=';'",
    ),
    "columns of labels": (
        "a.csv",
        b"text,label,x,y\na,x,1,0\nb,y,0,1\n",
        "--label_kind=multi",
        "--label_columns",
        "--label_kind=multi --label_columns=x,y",
    ),
    "no separator": (
        "a.csv",
        CAFE.encode(),
        "--label_separator=';'",
        "--label_kind=class",
        "--label_kind=class",
    ),
    "decimal commas": (
        "a.tsv",
        b"text\tlabel\na\t0,7\nb\t0,8\nc\t0,7\n",
        "",
        "--label_kind=class",
    ),
    "counted words": (
        "a.conll",
        b"1\tAda\tB-PER\n2\tran\tO\n",
        "",
        "--text_columns=1",
    ),
}


def values(program, text):
    flags = program.define().flags
    flags([program.__name__, *shlex.split(text)])
    return flags


def load(text):
    return train.load_data(values(train, text))


def load_in_a_sweep(text):
    return sweep.sweep_from_flags(values(sweep, text)).tasks[0].load()


@pytest.mark.parametrize("load", [load, load_in_a_sweep])
@pytest.mark.parametrize("case", ADVICE)
def test_the_flag_helps(case, load, tmp_path):
    name, content, before, advice, *instead = ADVICE[case]
    (tmp_path / name).write_bytes(content)
    path = tmp_path / name
    files = f"--train_file={path} --dev_file={path}"
    with pytest.raises(DataError) as error:
        load(f"{files} {before}")
    assert advice in str(error.value)
    (flags,) = instead or [f"{before} {advice}"]
    assert len(load(f"{files} {flags}").train) > 0


def with_adapter(program, read, task):
    """Function: read a file with the flags that the program has, for this task."""
    known = program.define().flags
    loaded = types.SimpleNamespace(
        task=task, read=lambda path, format: load_file_examples(path, format, task)
    )

    def read_file(path, text):
        words = [w for w in shlex.split(text) if w[2:].split("=")[0] in known]
        flags = values(program, shlex.join([f"--file={path}", *words]))
        return read(flags, loaded)

    return read_file


@pytest.mark.parametrize(
    ("program", "read"), [(evaluate, read_labelled_rows), (predict, stream_rows)]
)
@pytest.mark.parametrize("case", ADVICE)
def test_the_flag_helps_with_a_saved_adapter(case, program, read, tmp_path):
    name, content, before, advice, *instead = ADVICE[case]
    (tmp_path / name).write_bytes(content)
    path = tmp_path / name
    (flags,) = instead or [f"{before} {advice}"]
    task = load(f"--train_file={path} --dev_file={path} {flags}").task
    read_file = with_adapter(program, read, task)
    # The text columns are those of training, and tasks know their labels' kind.
    flag = advice[2:].split("=")[0]
    if flag in program.define().flags and flag != "text_columns":
        with pytest.raises(DataError) as error:
            read_file(path, before)
        assert advice in str(error.value)
    assert len(read_file(path, flags)) > 0


def test_lists_of_texts_need_no_flag_of_labels(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": ["a"], "label": "x"}\n')
    with pytest.raises(DataError, match="'text' must be a string.*array$"):
        load(f"--train_file={path}")


def write_cola(folder, encoding="utf-8"):
    (folder / "CoLA").mkdir()
    for part in ("train", "dev"):
        rows = f"a\t1\t\tcafé {part}\na\t0\t*\tbad {part}\n"
        (folder / "CoLA" / f"{part}.tsv").write_bytes(rows.encode(encoding))


def test_flags_of_files_beside_a_named_task(tmp_path):
    write_cola(tmp_path, "latin-1")
    given = f"--task=cola --data_dir={tmp_path}"
    with pytest.raises(DataError, match="--encoding=latin-1. That flag is for a file"):
        load(f"{given} --encoding=latin-1")
    file = tmp_path / "CoLA" / "train.tsv"
    columns = "--header=false --text_columns=3 --label_column=1 --encoding=latin-1"
    rows = load(f"--train_file={file} --dev_file={file} {columns}").train
    assert rows.texts == (["café train", "bad train"],)


def test_questions_of_another_name(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(SQUAD, encoding="utf-8")
    with pytest.raises(DataError, match="--train_file and --dev_file in training, and"):
        load(f"--task=squad --data_dir={tmp_path}")
    task = load(f"--train_file={path} --dev_file={path}").task
    read_file = with_adapter(evaluate, read_labelled_rows, task)
    assert len(read_file(path, "")) == 1


def test_a_task_of_tensorflow_datasets(tmp_path, monkeypatch):
    features = {"sentence": tfds.features.Text(), "idx": np.int32}
    features["label"] = tfds.features.ClassLabel(names=["unacceptable", "acceptable"])
    rows = {"sentence": ["a", "b"], "idx": [0, 1], "label": [0, 1]}
    data = tf.data.Dataset.from_tensor_slices(rows)
    prepared = tmp_path / "prepared"
    tfds.dataset_builders.store_as_tfds_dataset(
        name="glue",
        config="cola",
        version="2.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": data, "validation": data},
        data_dir=prepared,
        disable_shuffling=True,
    )
    write_cola(tmp_path)

    def fail(*args, **kwargs):
        raise tfds.download.DownloadError("no network")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(UserError, match="place with --tfds_data_dir. Or .*--data_dir$"):
        load(f"--task=cola --tfds_data_dir={tmp_path / 'empty'}")
    task = load(f"--task=cola --tfds_data_dir={prepared}").task
    assert load(f"--task=cola --data_dir={tmp_path}").task == task
    loaded = types.SimpleNamespace(task=task)
    for flags in (f"--tfds --tfds_data_dir={prepared}", f"--data_dir={tmp_path}"):
        assert len(read_labelled_rows(values(evaluate, flags), loaded)) == 2


def test_the_demo_without_a_network(tmp_path, monkeypatch, tiny_preset):
    def fail(*args):
        raise requests.ConnectionError("no network")

    monkeypatch.setenv("ADAPTERS_TF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "_download", fail)
    with pytest.raises(UserError, match="or train on rows of your own with --train_f"):
        load("")
    path = tmp_path / "rows.csv"
    path.write_text(CAFE, encoding="utf-8")
    assert len(load(f"--train_file={path} --dev_file={path}").train) == 2
    with pytest.raises(UserError, match="or name a base that .* with --preset"):
        resolve_preset(values(train, "").preset)
    assert resolve_preset(values(train, f"--preset={tiny_preset}").preset)
