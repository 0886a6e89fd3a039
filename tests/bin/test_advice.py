"""Each error about a file that names a flag: with that flag the file is read."""

import json
import shlex

import pytest

from adapters_tf.bin import train
from adapters_tf.errors import DataError

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
    "counted words": (
        "a.conll",
        b"1\tAda\tB-PER\n2\tran\tO\n",
        "",
        "--text_columns=1",
    ),
}


def load(text):
    flags = train.define().flags
    flags(["adapters-tf-train", *shlex.split(text)])
    return train.load_data(flags)


@pytest.mark.parametrize("case", ADVICE)
def test_the_flag_helps(case, tmp_path):
    name, content, before, advice, *instead = ADVICE[case]
    (tmp_path / name).write_bytes(content)
    path = tmp_path / name
    files = f"--train_file={path} --dev_file={path}"
    with pytest.raises(DataError) as error:
        load(f"{files} {before}")
    assert advice in str(error.value)
    (flags,) = instead or [f"{before} {advice}"]
    assert len(load(f"{files} {flags}").train) > 0


def test_lists_of_texts_need_no_flag_of_labels(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": ["a"], "label": "x"}\n')
    with pytest.raises(DataError, match="'text' must be a string.*array$"):
        load(f"--train_file={path}")


def test_flags_of_files_beside_a_named_task(tmp_path):
    (tmp_path / "CoLA").mkdir()
    for part in ("train", "dev"):
        rows = f"a\t1\t\tcafé {part}\na\t0\t*\tbad {part}\n"
        (tmp_path / "CoLA" / f"{part}.tsv").write_bytes(rows.encode("latin-1"))
    given = f"--task=cola --data_dir={tmp_path}"
    with pytest.raises(DataError, match="--encoding=latin-1. That flag is for a file"):
        load(f"{given} --encoding=latin-1")
    file = tmp_path / "CoLA" / "train.tsv"
    columns = "--header=false --text_columns=3 --label_column=1 --encoding=latin-1"
    rows = load(f"--train_file={file} --dev_file={file} {columns}").train
    assert rows.texts == (["café train", "bad train"],)
