"""Submissions to GLUE's server, of a small base with random adapters."""

import shutil
import zipfile

import numpy as np
import pytest
from absl import logging

from adapters_tf.adapters import AdapterConfig
from adapters_tf.bin import report
from adapters_tf.data.examples import Examples
from adapters_tf.errors import AdapterFileError, DataError, UserError
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.study import glue_submission
from adapters_tf.study.glue_submission import missing_tests, write_glue_submission
from adapters_tf.tasks.build import build_model
from adapters_tf.tasks.source import TASKS
from adapters_tf.training.predict_texts import LoadedAdapter, predict_texts

FILES = [
    "CoLA.tsv",
    "SST-2.tsv",
    "MRPC.tsv",
    "STS-B.tsv",
    "QQP.tsv",
    "MNLI-m.tsv",
    "MNLI-mm.tsv",
    "QNLI.tsv",
    "RTE.tsv",
    "WNLI.tsv",
    "AX.tsv",
]
# What the server wants each class to be called.
SPELLING = {
    "cola": {"unacceptable": "0", "acceptable": "1"},
    "mnli": {n: n for n in ("entailment", "neutral", "contradiction")},
    "rte": {n: n for n in ("entailment", "not_entailment")},
    "wnli": {"not_entailment": "0", "entailment": "1"},
}
WORDS = ["good film", "the plot was bad", "sad", "a lovely actor", "it was so poor"]
PAIRS = [(a, b) for a in WORDS for b in WORDS if a != b]


@pytest.fixture(scope="module")
def save(tiny_preset, tmp_path_factory):
    """Function: an adapter directory of a named task, with random weights."""
    root = tmp_path_factory.mktemp("adapters")

    def save(trained, bias=None, **changes):
        task = TASKS[trained].task.to_dict() | changes
        head = {"num_classes": len(task["labels"])} if task["labels"] else {}
        kind = task["kind"]
        model = build_model(
            kind, tiny_preset, AdapterConfig(4), seq_length=16, head=head
        )
        random = np.random.default_rng(len(trained))
        for variable in model.trainable_variables:
            value = random.normal(0, 0.6, variable.shape)
            variable.assign(value + variable.path.endswith("gamma"))
            if bias is not None and variable.path.endswith("bias"):
                if variable.shape == (1,):
                    variable.assign([bias])
        directory = root / f"{trained}{len(list(root.iterdir()))}"
        save_adapter(
            model.get_adapter(task=task, preset=tiny_preset, seq_length=16), directory
        )
        return str(directory)

    return save


@pytest.fixture(scope="module")
def adapters(save):
    return {name: save(name) for name in SPELLING}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """GLUE's folders with small test files, whose rows count backwards."""
    root = tmp_path_factory.mktemp("glue")

    def write(file, columns, rows):
        lines = ["\t".join(("index", *columns))]
        lines += [f"{len(rows) - i}\t" + "\t".join(r) for i, r in enumerate(rows)]
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text("\n".join(lines) + "\n")

    pair = ("sentence1", "sentence2")
    write("CoLA/test.tsv", ("sentence",), [(text,) for text in WORDS])
    write("STS-B/test.tsv", pair, PAIRS[:3])
    write("MNLI/test_matched.tsv", pair, PAIRS)
    write("MNLI/test_mismatched.tsv", pair, PAIRS[::-1])
    write("diagnostic/diagnostic.tsv", pair, PAIRS[5:])
    write("RTE/test.tsv", pair, PAIRS[3:])
    write("WNLI/test.tsv", pair, PAIRS[4:])
    return root


@pytest.fixture
def warnings(monkeypatch):
    messages = []
    monkeypatch.setattr(logging, "warning", lambda text, *a: messages.append(text % a))
    return messages


@pytest.fixture
def no_predictions(monkeypatch):
    def fail(*_):
        raise AssertionError("predicts")

    monkeypatch.setattr(LoadedAdapter, "predictions", fail)


def read(path):
    header, *rows = path.read_text().splitlines()
    assert header == "index\tprediction"
    return [tuple(row.split("\t")) for row in rows]


def expected(directory, spelling, rows):
    """The predictions, one row at a time, with the row numbers."""
    loaded = LoadedAdapter(directory)
    columns = (Examples(tuple([text] for text in row)) for row in rows)
    labels = [loaded.predictions(texts)[0]["label"] for texts in columns]
    return [(str(len(rows) - i), spelling[n]) for i, n in enumerate(labels)]


def test_files_labels_and_row_numbers(adapters, data_dir, tmp_path, warnings):
    files = write_glue_submission(adapters, data_dir, tmp_path / "out")
    names = ["CoLA", "MNLI-m", "MNLI-mm", "RTE", "WNLI", "AX"]
    assert [file.name for file in files] == [f"{name}.tsv" for name in names]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        file.name for file in files
    )
    found = dict(zip(names, map(read, files), strict=True))
    words = [(text,) for text in WORDS]
    assert found["CoLA"] == expected(adapters["cola"], SPELLING["cola"], words)
    for name, task, rows in (
        ("MNLI-m", "mnli", PAIRS),
        ("RTE", "rte", PAIRS[3:]),
        ("WNLI", "wnli", PAIRS[4:]),
    ):
        assert found[name] == expected(adapters[task], SPELLING[task], rows), name
    # The same pairs the other way round.
    values = [value for _, value in found["MNLI-m"]]
    assert [value for _, value in found["MNLI-mm"]] == values[::-1]
    assert [value for _, value in found["AX"]] == values[5:]
    # Random weights tell rows apart, or the above would show less than it seems to.
    assert len(set(values)) > 1
    missing = "Not written: SST-2.tsv, MRPC.tsv, STS-B.tsv, QQP.tsv, QNLI.tsv."
    assert missing in warnings[-1]


@pytest.mark.parametrize("bias, score", [(100.0, "5.000"), (-100.0, "0.000")])
def test_scores_are_clipped(save, data_dir, tmp_path, bias, score):
    (file,) = write_glue_submission({"stsb": save("stsb", bias)}, data_dir, tmp_path)
    assert read(file) == [("3", score), ("2", score), ("1", score)]


def test_scores_are_those_of_the_adapter(save, data_dir, tmp_path):
    adapter = save("stsb", 2.5)
    (file,) = write_glue_submission({"stsb": adapter}, data_dir, tmp_path)
    records = predict_texts(adapter, list(zip(*PAIRS[:3], strict=True)))
    scores = [min(max(record["score"], 0), 5) for record in records]
    assert [float(value) for _, value in read(file)] == pytest.approx(scores, abs=6e-4)


def test_filled_archive(adapters, data_dir, tmp_path, warnings):
    cola = {"cola": adapters["cola"]}
    files = write_glue_submission(
        cola, data_dir, tmp_path, fill_missing=True, archive=True
    )
    assert [file.name for file in files] == [*FILES, "submission.zip"]
    with zipfile.ZipFile(files[-1]) as archive:
        assert archive.namelist() == FILES
        assert archive.read("CoLA.tsv") == files[0].read_bytes()
    constant = {
        "SST-2": ("0", 1821),
        "MRPC": ("0", 1725),
        "STS-B": ("0.000", 3),  # Of the file that is there.
        "QQP": ("0", 390965),
        "MNLI-m": ("entailment", 20),
        "MNLI-mm": ("entailment", 20),
        "QNLI": ("entailment", 5463),
        "RTE": ("entailment", 17),
        "WNLI": ("0", 16),
        "AX": ("entailment", 15),
    }
    for name, (value, count) in constant.items():
        rows = read(tmp_path / f"{name}.tsv")
        assert [v for _, v in rows] == [value] * count
        assert len({number for number, _ in rows}) == count
    assert read(tmp_path / "SST-2.tsv")[-1] == ("1820", "0")
    assert "Constant: SST-2.tsv, MRPC.tsv" in warnings[-1]


def test_missing_tests_are_in_the_order_of_glue():
    assert missing_tests(SPELLING) == ["SST-2", "MRPC", "STS-B", "QQP", "QNLI"]
    assert missing_tests(["cola"]) == [file[:-4] for file in FILES[1:]]
    assert missing_tests(TASKS) == []


@pytest.mark.parametrize(
    "given, match",
    [
        ({}, "tasks of GLUE: cola, sst2, .*Received: none"),
        ({"cola": "x", "ax": "x"}, "Received: 'ax'. The diagnostic set AX is.*mnli"),
        ({"squad": "x"}, "Received: 'squad'"),
    ],
)
def test_names_of_no_glue_task(given, match, data_dir, tmp_path):
    with pytest.raises(UserError, match=match):
        write_glue_submission(given, data_dir, tmp_path)


@pytest.mark.usefixtures("no_predictions")
class TestRefusedBeforeAnyPrediction:
    """All tasks are checked before the first is predicted."""

    def refuse(self, error, match, adapters, data_dir, output, **options):
        with pytest.raises(error, match=match):
            write_glue_submission(adapters, data_dir, output, **options)
        assert not list(output.glob("*.tsv"))

    def test_adapter_of_another_task(self, adapters, data_dir, tmp_path):
        given = adapters | {"rte": adapters["wnli"]}
        match = (
            "adapter for rte must be .*--task=rte, for classification with the classes "
            "entailment, not_entailment. Received: .*wnli.*, of the task 'wnli'"
        )
        self.refuse(UserError, match, given, data_dir, tmp_path)

    def test_other_labels(self, save, data_dir, tmp_path):
        given = {"cola": save("cola", labels=["0", "1"])}
        match = "'cola', for classification with the classes 0, 1$"
        self.refuse(UserError, match, given, data_dir, tmp_path)

    def test_other_kind(self, save, data_dir, tmp_path):
        given = {"stsb": save("cola", name="stsb")}
        match = "for regression. Received: .*, for classification with"
        self.refuse(UserError, match, given, data_dir, tmp_path)

    def test_no_adapter(self, adapters, data_dir, tmp_path):
        given = adapters | {"wnli": str(tmp_path / "none")}
        self.refuse(AdapterFileError, "none", given, data_dir, tmp_path)

    def test_no_test_file(self, adapters, save, data_dir, tmp_path):
        given = adapters | {"qnli": save("qnli")}
        self.refuse(DataError, r"qnli must be test\.tsv", given, data_dir, tmp_path)

    def test_a_test_file_in_latin_1(self, adapters, data_dir, tmp_path):
        """The program has no flags for the format of published files."""
        folder = shutil.copytree(data_dir / "CoLA", tmp_path / "glue" / "CoLA")
        (folder / "test.tsv").write_bytes(b"index\tsentence\n0\tcaf\xe9\n")
        given, match = {"cola": adapters["cola"]}, "That flag is for a file of your own"
        self.refuse(DataError, match, given, folder.parent, tmp_path)

    def test_incomplete_archive(self, adapters, data_dir, tmp_path):
        match = "no adapter for SST-2, MRPC, STS-B, QQP, QNLI. Give.*fill_missing"
        self.refuse(UserError, match, adapters, data_dir, tmp_path, archive=True)

    def test_place_that_cannot_be_written(self, adapters, data_dir, tmp_path):
        (tmp_path / "file").write_text("x")
        output = tmp_path / "file" / "out"
        self.refuse(UserError, "can be written", adapters, data_dir, output)


def test_earlier_files_are_replaced_only_when_asked(adapters, data_dir, tmp_path):
    cola = {"cola": adapters["cola"]}
    (tmp_path / "CoLA.tsv").write_text("earlier")
    with pytest.raises(UserError, match="holds CoLA.tsv. Name.*--overwrite"):
        write_glue_submission(cola, data_dir, tmp_path)
    assert (tmp_path / "CoLA.tsv").read_text() == "earlier"
    write_glue_submission(cola, data_dir, tmp_path, overwrite=True)
    assert len(read(tmp_path / "CoLA.tsv")) == len(WORDS)


def test_failed_write_leaves_nothing_half_done(
    adapters, data_dir, tmp_path, monkeypatch
):
    def replace(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(glue_submission.os, "replace", replace)
    with pytest.raises(UserError, match="No space left on device"):
        write_glue_submission({"cola": adapters["cola"]}, data_dir, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_job_of_the_report_program(adapters, data_dir, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = [
        "glue",
        f"--adapters=cola={adapters['cola']},rte={adapters['rte']}",
        f"--data_dir={data_dir}",
        f"--output_dir={output}",
    ]
    groups = report.define_glue()
    groups.flags(arguments)
    report.glue(groups.flags)
    assert capsys.readouterr().out == f"2 files in {output}:\n  CoLA.tsv\n  RTE.tsv\n"
    assert len(read(output / "RTE.tsv")) == 17


def test_job_needs_its_flags():
    groups = report.define_glue()
    groups.flags(["glue", "--adapters=cola=x"])
    with pytest.raises(UserError, match="--data_dir is needed"):
        report.glue(groups.flags)
