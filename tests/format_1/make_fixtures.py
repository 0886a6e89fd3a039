"""Writes the adapter directories and predictions of this folder.

They were written by version 0.1.0, commit 66cc833: from a checkout of that commit run

    python tests/format_1/make_fixtures.py FOLDER

with this file and tests/small_data.py beside it. Written by a later version they would
prove nothing about the files that people have.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from small_data import BAD, GOOD, OTHER, make_preset, sentiment_rows  # noqa: E402

# Kind -> the file of its rows, flags for training, flags for prediction.
KINDS = {
    "classification": ("rows.csv", ["--text_columns=text"], ["--text_columns=text"]),
    "regression": (
        "scores.csv",
        ["--text_columns=a,b", "--label_column=score", "--label_kind=number"],
        ["--text_columns=a,b"],
    ),
    "multi_label": ("labels.csv", ["--label_separator=;"], ["--text_columns=text"]),
    "token_classification": ("words.conll", [], []),
    "question_answering": ("questions.json", [], []),
}
SETTINGS = ["--seq_length=32", "--epochs=2", "--bottleneck_dim=2", "--batch_size=16"]


def write_rows(folder):
    """A file of made-up rows for each kind, the same in every run."""
    random = np.random.default_rng(0)
    rows = sentiment_rows(48)

    def write(name, lines):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    write("rows.csv", ["text,label", *(f"{text},{label}" for text, label in rows)])
    pairs = [
        f"{text},{rows[i - 1][0]},{random.integers(50) / 10:.1f}"
        for i, (text, _) in enumerate(rows)
    ]
    write("scores.csv", ["a,b,score", *pairs])
    names = ("sad", "fine", "film")
    sets = [f"{t},{';'.join(n for n in names if n in t.split())}" for t, _ in rows]
    write("labels.csv", ["text,label", *sets])
    tags = {**dict.fromkeys(GOOD, "B-GOOD"), **dict.fromkeys(BAD, "B-BAD")}
    sentences = [[f"{w} {tags.get(w, 'O')}" for w in t.split()] + [""] for t, _ in rows]
    write("words.conll", [line for lines in sentences for line in lines])
    questions = []
    for i in range(24):
        words = [str(word) for word in random.choice([*OTHER, *GOOD], 20)]
        start = int(random.integers(20))
        answer = {
            "text": words[start],
            "answer_start": len(" ".join([*words[:start], ""])),
        }
        ask = {"id": f"q{i}", "question": f"so {words[start]} it", "answers": [answer]}
        questions.append({"context": " ".join(words), "qas": [ask]})
    data = {"data": [{"title": "t", "paragraphs": questions}]}
    write("questions.json", [json.dumps(data)])


def main(output):
    """Train and predict each kind in `output`."""
    output.mkdir(parents=True)
    os.chdir(output)
    make_preset("preset", seed=1)
    write_rows(pathlib.Path())
    for kind, (rows, training, prediction) in KINDS.items():
        programs = pathlib.Path(sysconfig.get_path("scripts"))
        train = [programs / "adapters-tf-train", "--preset=preset", *SETTINGS]
        train += [f"--train_file={rows}", *training, f"--output_dir=run_{kind}"]
        subprocess.run(train, check=True)
        shutil.copytree(f"run_{kind}/adapter", f"{kind}/adapter")
        pathlib.Path(kind, "adapter", "README.md").unlink()
        shutil.rmtree(f"run_{kind}")
        predict = [programs / "adapters-tf-predict", f"--adapter={kind}/adapter"]
        predict += [f"--file={rows}", *prediction]
        predict += [f"--output={kind}/predictions.jsonl"]
        subprocess.run(predict, check=True)
    shutil.rmtree("preset")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
