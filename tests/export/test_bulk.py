"""A servable's predictions with Apache Beam, against those of adapters-tf-predict."""

import importlib.util
import json
import os

import numpy as np
import pytest

from adapters_tf.adapters import AdapterConfig
from adapters_tf.bin import predict, predict_beam
from adapters_tf.data.files import FileFormat
from adapters_tf.errors import DataError, UserError
from adapters_tf.export import bulk_job, versions
from adapters_tf.export.bulk_job import BulkJob, ServedTask
from adapters_tf.export.rows import Row, check_separator, rows_of, signature_inputs
from adapters_tf.export.session import ServingSession
from adapters_tf.models.task import Task
from adapters_tf.tasks.file_task import load_file_examples
from adapters_tf.tasks.kinds import kind_named

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None, reason="apache-beam is absent"
)
NAMES = ["topics", "likeness", "questions", "moods", "names", "roles"]


@pytest.fixture(scope="module")
def tasks(saved_task, save_task):
    """One task of each kind, and one of three texts."""
    made = {name: saved_task(name) for name in NAMES[:3]}
    made["moods"] = save_task(
        "moods",
        "multi_label",
        ["glad", "sad", "späte"],
        seed=41,
        folder="bulk_moods",
        adapter=AdapterConfig(3),
        head={"num_classes": 3, "head_input": "mean"},
    )
    made["names"] = save_task(
        "names",
        "token_classification",
        ["O", "B-a", "I-a", "B-b", "I-b"],
        ("0",),
        seed=42,
        folder="bulk_names",
        adapter=AdapterConfig(4),
        head={"num_classes": 5},
    )
    made["roles"] = save_task(
        "roles",
        "classification",
        ["x", "y", "z"],
        ("claim", "evidence", "source"),
        seed=43,
        folder="bulk_roles",
        adapter=AdapterConfig(2),
        head={"num_classes": 3, "head_input": "mean"},
        seq_length=24,
    )
    return made


@pytest.fixture(scope="module")
def bulk_servable(base_dir, tasks, tmp_path_factory):
    path = tmp_path_factory.mktemp("bulk") / "servable"
    with pytest.MonkeyPatch.context() as patch:
        # That is most of an export's time, and what is predicted is compared below.
        for name in ("check_export", "servable_cases"):
            patch.setattr(versions, name, lambda *args: None)
        directories = {name: task.directory for name, task in tasks.items()}
        versions.create_servable(base_dir, directories, path)
    return path


def words(n, seed):
    random = np.random.default_rng(seed)
    vocabulary = ["good", "bad", "film", "Caf\u00e9", "was", "the", "plot", "nothing"]
    return [
        " ".join(random.choice(vocabulary, random.integers(1, 25))) for _ in range(n)
    ]


def parts(directory):
    """The records of all files of a directory, and how many each holds."""
    texts = [p.read_text("utf-8") for p in sorted(directory.glob("part-*.jsonl"))]
    records = [json.loads(line) for text in texts for line in text.splitlines()]
    return records, [text.count("\n") for text in texts]


def assert_same(found, expected):
    """Equal, with keys in the same order, but for floats, which may differ by 1e-5."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert_same(ours, theirs)
    elif isinstance(expected, float):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    else:
        assert found == expected


def write_file(name, folder, n, seed):
    """A file of rows for a task of the servable."""
    columns = [words(n, seed + i) for i in range(3)]
    rows = list(zip(*columns, strict=True))
    if name in ("topics", "moods"):
        path = folder / f"{seed}.csv"
        # A text of two lines is one row.
        lines = [f'"{text}, \nand so"\n' for text, _, _ in rows]
        path.write_text("text\n" + "".join(lines), encoding="utf-8")
    elif name == "names":
        path = folder / f"{seed}.conll"
        # A word that is all invisible has no token; U+00A0 belongs to its word.
        sentences = [f"{a} \u200b {b} so\u00a0the\u00a0 {c}" for a, b, c in rows]
        lines = [f"{s}\n".replace(" ", "\n") for s in sentences]
        path.write_text("\n".join(lines), encoding="utf-8")
    elif name == "questions":
        path = folder / f"{seed}.json"
        questions = [
            {"id": f"{seed}-{i}", "question": a, "context": b * 3}
            for i, (a, b, _) in enumerate(rows)
        ]
        path.write_text(json.dumps(questions))
    else:
        path = folder / f"{seed}.jsonl"
        keys = {
            "likeness": ("first", "second"),
            "roles": ("claim", "evidence", "source"),
        }[name]
        # The texts that the task has, of three.
        lines = [json.dumps(dict(zip(keys, row, strict=False))) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines))
    return path


@needs_beam
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_same_as_adapters_tf_predict(bulk_servable, tasks, call, tmp_path, name):
    seeds = (10, 20) if name == "topics" else (10,)
    files = [write_file(name, tmp_path, 11, seed=s) for s in seeds]
    output = tmp_path / "out"
    assert not call(
        predict_beam,
        f"--servable={bulk_servable}",
        f"--name={name}",
        # A pattern, whose files are taken in the order of their names.
        f"--files={tmp_path}/[12]0.*",
        f"--output_dir={output}",
        "--batch_size=4",
        "--rows_per_file=6",
        "--beam_options=--direct_num_workers=2 --direct_running_mode=multi_threading",
    )
    found, sizes = parts(output)
    assert sizes == [6, 5] * len(seeds)
    assert {path.suffix for path in output.iterdir()} == {".jsonl"}
    expected = []
    for path in files:
        target = path.with_suffix(".predicted")
        adapter = f"--adapter={tasks[name].adapter_dir}"
        assert not call(predict, adapter, f"--file={path}", f"--output={target}")
        expected += [json.loads(line) for line in target.read_text().splitlines()]
    assert_same(found, expected)
    assert len({json.dumps(record) for record in expected}) > 5
    if name == "moods":
        # Some labels are predicted, and others are not.
        counts = [len(record["labels"]) for record in expected]
        assert 0 < sum(counts) < 3 * len(counts)
    if name == "names":
        assert all("unread" in record for record in expected)
        assert sum(len(record["entities"]) for record in expected) > 5


ROLES = ("claim", "evidence", "source")
ROLES_EMPTY = [("good", "", "film"), ("", "bad", ""), ("", "", ""), (" ", "a", "plot")]
EMPTY = {
    "topics.csv": 'id,text\n1,good\n2,\n3," "\n4,film\n',
    "topics.tsv": "text\tid\ngood\t1\n\t2\n \t3\nfilm\t4\n",
    "topics.txt": "text\ngood\n\n \nfilm\n",
    "topics.jsonl": "".join(
        json.dumps({"text": text}) + "\n" for text in ("good", "", " ", "film")
    ),
    "moods.csv": "text,id\ngood,1\n,2\n ,3\nfilm,4\n",
    "likeness.csv": "first,second\ngood,\n,bad film\n,\n \t,the plot\n",
    "roles.jsonl": "".join(
        json.dumps(dict(zip(ROLES, row, strict=True))) + "\n" for row in ROLES_EMPTY
    ),
    # A sentence in a file has a word; it may have no token.
    "names.conll": "good\n\u200b\n\n\u200b\n\n\u00a0.\n\nthe\u3000film\nwas\n",
    "questions.json": json.dumps(
        [
            {"question": question, "context": context}
            for question in ("what was bad", "")
            for context in ("the plot was bad", "")
        ]
    ),
}


@pytest.fixture(scope="module")
def served(bulk_servable):
    with ServingSession(bulk_servable / "1") as session:
        yield session.run


@pytest.mark.parametrize("file", EMPTY)
def test_empty_texts_are_answered_alike(served, tasks, call, tmp_path, file):
    path, output, (name, _) = tmp_path / file, tmp_path / "out", file.split(".")
    path.write_text(EMPTY[file], encoding="utf-8")
    adapter = f"--adapter={tasks[name].adapter_dir}"
    assert not call(predict, adapter, f"--file={path}", f"--output={output}")
    records = [json.loads(line) for line in output.read_text("utf-8").splitlines()]

    task = Task.from_dict(tasks[name].task)
    rows = load_file_examples(path, FileFormat(task.text_columns), task)
    rows = list(rows_of(rows))
    outputs = served(
        f"{name}_text",
        {k: np.array(v, object) for k, v in signature_inputs(rows).items()},
    )
    assert len(rows) == len(records) == 4
    assert_same(records, records_of(task, outputs, rows))


@needs_beam
def test_a_fault_in_the_last_file_leaves_nothing(bulk_servable, call, tmp_path, capsys):
    write_file("topics", tmp_path, 3, seed=1)
    (tmp_path / "2.csv").write_text('text\n"good"\n"bad\n')
    arguments = [f"--servable={bulk_servable}", f"--files={tmp_path}/*.csv"]
    output = tmp_path / "out"
    assert call(predict_beam, *arguments, "--name=topics", f"--output_dir={output}")
    error = capsys.readouterr().err
    assert "error: " in error and "2.csv" in error and not output.exists()


@needs_beam
def test_a_text_with_the_separator_is_refused(bulk_servable, tmp_path):
    from adapters_tf.export.bulk_pipeline import predict_in_bulk

    path, output = tmp_path / "rows.jsonl", tmp_path / "out"
    row = {"claim": "a\x1eb", "evidence": "good", "source": "film"}
    rows = [row, row | {"source": "a\x1eb"}]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    # By default the columns are those of the task.
    job = BulkJob(str(bulk_servable), "roles", (str(path),), str(output))
    with pytest.raises(DataError, match=r"U\+001E.*rows\.jsonl, row 2.*a space, or"):
        predict_in_bulk(job)
    assert not output.exists()


@needs_beam
def test_no_two_workers_write_under_one_name(tmp_path, monkeypatch):
    from adapters_tf.export.bulk_pipeline import WriteRows

    names, replace = [], os.replace

    def record(source, target):
        names.append(source.name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", record)
    # As processes of two containers, which may have one number.
    monkeypatch.setattr(os, "getpid", lambda: 1)
    for _ in range(2):
        rows = [(1, {"score": 0.5}), (0, {"score": 0.25})]
        assert list(WriteRows(str(tmp_path)).process(((0, 2), rows))) == [2]
    assert len(set(names)) == 2
    assert all(name.startswith(".part-") for name in names)  # to be found if left
    assert [path.name for path in tmp_path.iterdir()] == ["part-00000-00000002.jsonl"]
    assert [r["score"] for r in parts(tmp_path)[0]] == [0.25, 0.5]


def test_separator():
    # The first text, and a pair's second one, are not cut.
    check_separator(iter([Row(("a\x1e", "b", "c")), Row(("a", "b\x1e"))]), "f")
    with pytest.raises(DataError, match="f, row 1"):
        check_separator(iter([Row(("a", "b\x1e", "c"))]), "f")


def test_inputs_of_signatures():
    def inputs(*rows):
        return signature_inputs([Row(texts) for texts in rows])

    assert inputs(("a",), ("b",)) == {"text": ["a", "b"]}
    assert inputs(("a", ""), ("b", "c")) == {"text": ["a", "b"], "text_pair": ["", "c"]}
    assert inputs(("a", "b", "c", "d")) == {
        "text": ["a"],
        "text_pair": ["b\x1ec\x1ed"],
    }


def records_of(task, outputs, rows):
    """The records of rows, out of a signature's outputs."""
    kind = kind_named(task.kind)
    return [
        kind.served_record(task, {k: v[i] for k, v in outputs.items()}, *row)
        for i, row in enumerate(rows)
    ]


def test_records_of_sets_of_labels():
    task = Task("t", "multi_label", ("text",), ("a", "b"))
    outputs = {"probabilities": np.array([[0.5, 0.75], [0.25, 0.125]])}
    assert records_of(task, outputs, [Row(("x",)), Row(("y",))]) == [
        {"labels": ["a", "b"], "probabilities": {"a": 0.5, "b": 0.75}},
        {"labels": [], "probabilities": {"a": 0.25, "b": 0.125}},
    ]


def test_records_of_sentences():
    task = Task("t", "token_classification", ("0",), ("O", "B-a", "I-a"))
    outputs = {
        # The second sentence ends before the first one does.
        "words": np.array([["é", "c", "d"], ["e", "", ""]], object),
        "tags": np.array([[b"B-a", b"I-a", b"I-a"], [b"O", b"", b""]], object),
        "tag_scores": np.array([[0.5, 1, 0.75], [0.5, 0, 0]], np.float32),
        "word_starts": np.array([[0, 5, 7], [0, -1, -1]], np.int32),
        "word_ends": np.array([[1, 6, 8], [1, -1, -1]], np.int32),
    }
    rows = [Row(("é bb c d",)), Row(("e",))]
    first, second = records_of(task, outputs, rows)
    assert first == {
        "words": ["é", "bb", "c", "d"],
        # "bb" was not read: what is behind it begins anew.
        "tags": ["B-a", "O", "B-a", "I-a"],
        "entities": [
            {"type": "a", "text": "é", "start": 0, "end": 1, "score": 0.5},
            {"type": "a", "text": "c d", "start": 2, "end": 4, "score": 0.875},
        ],
        "unread": 1,
    }
    assert second == {"words": ["e"], "tags": ["O"], "entities": []}


def test_refused(bulk_servable, tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    path.write_text("text\ngood\n")
    with pytest.raises(UserError, match=r"has the tasks topics, .*Received: 'other'"):
        ServedTask.of(str(bulk_servable), "other")
    with pytest.raises(UserError, match="A servable is a directory with base/"):
        ServedTask.of(str(tmp_path), "topics")
    with pytest.raises(UserError, match="Received: no file 'no.csv'"):
        BulkJob("s", "topics", (str(path), "no.csv"), "out")
    with pytest.raises(UserError, match="Received: batch_size=0"):
        BulkJob("s", "topics", (str(path),), "out", batch_size=0)
    for task, came in (({}, "no task"), ({"kind": "new"}, "the kind 'new'")):
        about = {"tasks": {"t": {"config": {"task": task}}}, "task_signatures": True}
        monkeypatch.setattr(
            bulk_job, "read_servable_json", lambda path, about=about: about
        )
        with pytest.raises(UserError, match=f"Received: 't', saved with {came}"):
            ServedTask.of(str(bulk_servable), "t")


def test_without_apache_beam(monkeypatch):
    monkeypatch.setattr(bulk_job.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "adapters-tf\[beam\]"'):
        bulk_job.check_installed()
