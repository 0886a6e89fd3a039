"""The commands on the pages, run as they stand there, on small data and a small base.

Those of docs/tutorial.md, which also starts a server, are run by test_tutorial.py, the
first lines of README by test_packaging.py, the notebooks by test_notebooks.py.
"""

import glob
import importlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from pages import PAGES, ROOT, commands
from small_data import make_preset, sentiment_rows

from adapters_tf import preset_names
from adapters_tf.bin import ablate, export, report, train
from adapters_tf.convert import convert_huggingface
from adapters_tf.export import export_base
from adapters_tf.study.sweep import Sweep, read_sweep

# Words of commands that are not run here, and why, or where they are.
LEFT_OUT = {
    "python benchmarks/run.py": "each job of it: tests/benchmarks",
    "adapters-tf-serve": "runs until it is stopped: test_tutorial.py, test_serve.py",
    "from_adapter_bert": "TensorFlow 1 checkpoints: tests/convert/test_program.py",
    "--input_dir=uncased_L-12_H-768_A-12": "the same",
    "--preset=roberta_base_en": "a download; small ones: tests/export/test_encoders.py",
    "--preset=bert_base_en_uncased": "several machines or a TPU: tests/training",
    "--beam_options=--runner=FlinkRunner --flink_master=H:8081": "a cluster",
    "--grid=docs/results/study.yaml": "hours; what such a file holds is read below",
    "--grid=docs/results/study_init_scale.yaml": "the same",
    "--grid=docs/results/study_longer.yaml": "the same",
    "--grid=docs/results/study_more.yaml": "the same",
    "--grid=docs/results/study_sizes.yaml": "the same",
    "--output=sst2.json": "of that study; its result is in docs/results/ablations",
    "--chief=10.0.0.1:8000": "the same: tests/study/test_sweep.py",
}
PAGES_RUN = [
    page
    for page in PAGES
    if page.name != "tutorial.md"
    and any(
        not set(LEFT_OUT) & set(words)
        for words in commands(page.read_text(encoding="utf-8"))
    )
]
# The same file with other columns, for the command with this flag.
ROWS = {
    "--label_separator=;": 'text,label\n"a fine sad film",fine;sad\n"a plot",\n',
    "--label_columns=praise,tears": "text,praise,tears\na fine film,1,0\na plot,0,0\n",
}


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_data(folder):
    """Files of named tasks, as they are published."""
    rows = sentiment_rows(80)
    classes = [(text, str(int(label == "pos"))) for text, label in rows]
    for name in ("train", "dev"):
        lines = [f"gj04\t{label}\t\t{text}" for text, label in classes]
        write(folder / "CoLA" / f"{name}.tsv", *lines)
        lines = [f"{text}\t{label}" for text, label in classes]
        write(folder / "SST-2" / f"{name}.tsv", "sentence\tlabel", *lines)
        head = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
        lines = [f"{label}\t1\t2\t{text}\tgood" for text, label in classes]
        write(folder / "MRPC" / f"{name}.tsv", head, *lines)
    for name in ("CoLA", "SST-2"):
        lines = [f"{i}\t{text}" for i, (text, _) in enumerate(rows[:9])]
        write(folder / name / "test.tsv", "index\tsentence", *lines)
    # Texts that occur twice are one row.
    several = sentiment_rows(300, seed=1)
    lines = [f"{'spam' if label == 'pos' else 'ham'}\t{t}" for t, label in several]
    write(folder / "sms_spam" / "SMSSpamCollection", *lines)
    names = ("negative", "neutral", "positive")
    lines = [f"{i},{names[i % 3]},{text}" for i, (text, _) in enumerate(several)]
    head = "tweet_id,airline_sentiment,text"
    write(folder / "cf_airline" / "Tweets.csv", head, *lines)
    context = "the good film was so sad and the actor was very lovely ."
    answer = {"text": "good film", "answer_start": 4}
    qas = [
        {"id": str(i), "question": "so it was good ?", "answers": [answer]}
        for i in range(8)
    ]
    squad = {"data": [{"paragraphs": [{"context": context, "qas": qas}]}]}
    write(folder / "squad_routerlens" / "dev.json", json.dumps(squad))
    write(folder / "squad_xquad_en" / "xquad.en.json", json.dumps(squad))


@pytest.fixture(scope="module", autouse=True)
def _demo(tmp_path_factory, _runs_share_models):
    """A base of one block in place of the demo's."""
    demo = make_preset(tmp_path_factory.mktemp("demo"), 1, 256, num_layers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(preset_names._DIRECTORIES, "demo", lambda: demo)
        yield


@pytest.fixture(scope="module", autouse=True)
def _bases_are_exported_once(tmp_path_factory):
    """Several commands export the demo's base: the first to do so does it for all."""
    folder, new, made = tmp_path_factory.mktemp("bases"), export_base, {}

    def export_once(preset, output_dir, seq_length):
        key = preset, seq_length
        if key not in made:
            made[key] = folder / str(len(made))
            new(preset, made[key], seq_length)
        shutil.copytree(made[key], output_dir)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adapters_tf.export.export_base", export_once)
        yield


@pytest.fixture(scope="module")
def call_program():
    """Function: run a program in this process, outside of a test."""

    def run(program, *args):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", [program.__name__, *args])
            program.cli()

    return run


@pytest.fixture(scope="module")
def inputs(_demo, call_program, tmp_path_factory, without_self_checks):
    """A folder of what the pages' commands read."""
    root = tmp_path_factory.mktemp("inputs")
    lines = ["text,label", *(f"{t},{label}" for t, label in sentiment_rows(200))]
    for name in ("train", "dev", "test", "new", "rows", "texts", "new/1", "new/2"):
        write(root / f"{name}.csv", *lines)
    lists = [{"text": "a fine sad film", "label": ["praise", "tears"]}]
    lists += [{"text": "a plot", "label": []}]
    write(root / "rows.jsonl", *map(json.dumps, lists * 20))
    write_data(root / "DATA")
    shutil.copytree(ROOT / "docs" / "results", root / "docs" / "results")
    theirs = ROOT / "tests" / "convert" / "fixtures"
    for name, source in (("bert-base-uncased", "base"), ("D", "houlsby")):
        shutil.copytree(theirs / source, root / name)
    shutil.copytree(theirs / "houlsby", root / "sst")
    tags = ["good B-PER", "film I-PER", "was O", "", "the O", "actor B-LOC", ""] * 20
    for name in ("train", "dev", "test", "new"):
        write(root / f"{name}.conll", *tags)
    convert_huggingface(theirs / "base", root / "P")
    make_preset(root / "three_blocks", 1, 128, num_layers=3)

    with pytest.MonkeyPatch.context() as patch, without_self_checks():
        patch.chdir(root)
        files = ("--train_file=train.csv", "--dev_file=dev.csv")
        call_program(train, "--epochs=1", *files, "--output_dir=out")
        for task in ("cola", "sst2"):
            flags = (f"--task={task}", "--data_dir=DATA", f"--output_dir={task}")
            call_program(train, "--epochs=1", *flags)
        for name in ("a", "b", "c", "adapters-tf-run", "stsb", "again"):
            shutil.copytree("out/adapter", f"{name}/adapter")
        call_program(export, "base", "--preset=demo", "--output_dir=B")
        adapters = "--adapters=tweets=out/adapter,sst2=out/adapter"
        call_program(export, "servable", "--base=B", adapters, "--output_dir=S")
    return root


@pytest.fixture(scope="module")
def inputs_of_tools(inputs, call_program, tmp_path_factory):
    """What the commands of docs/tools.md read, one of which prunes four blocks."""
    root = tmp_path_factory.mktemp("inputs_of_tools")
    base = make_preset(tmp_path_factory.mktemp("base"), 1, 32, num_layers=5)
    run = ("--epochs=1", "--bottleneck_dim=4", "--seq_length=16")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        rows = f"{inputs}/dev.csv"
        files = (f"--preset={base}", f"--train_file={rows}", f"--dev_file={rows}")
        call_program(train, *files, *run, "--output_dir=out")
        flags = ("--adapter=out/adapter", f"--file={rows}", "--output=a.json")
        call_program(ablate, "layers", *flags)
        for name in ("s0", "s1", "s2"):
            shutil.copytree("out/adapter", f"{name}/adapter")
    return root


def outputs(words):
    """What a command writes; a page's earlier command may have written it too."""
    found = [re.fullmatch(r"--output(?:_dir)?=(.+)", word) for word in words]
    names = [match[1] for match in found if match]
    if words[0] == "adapters-tf-train" and not names:
        names = ["adapters-tf-run"]
    return [pathlib.Path(name) for name in names]


def prepare(words):
    """Make the words and the files those of the page's reader at this command."""
    words = [word.replace("$DATA", "DATA").replace("$OUT", "sweep") for word in words]
    words = [word.replace("$A/", "docs/results/ablations/") for word in words]
    # More of the same takes minutes.
    words = [word.replace("--seeds=0,1,2", "--seeds=0") for word in words]
    for flag, text in ROWS.items():
        if flag in words:
            head, *lines = text.splitlines()
            write(pathlib.Path("rows.csv"), head, *lines * 20)
    if words[0] != "adapters-tf-sweep":
        for path in outputs(words):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if "from_adapterhub" in words:
        words.append("--seq_length=12")  # its small base has no more positions
    if "--adapter_layers=top3" in words:
        words.append("--preset=three_blocks")
    # A sweep keeps the adapter of the best seed.
    for i, word in enumerate(words):
        if match := re.fullmatch(r"(--adapter=)(sweep/.+)\.s\d(/adapter)", word):
            (kept,) = glob.glob(f"{match[2]}.s*{match[3]}")
            words[i] = match[1] + kept
    return words


class Written:
    """What commands wrote, for pages that have the same command again."""

    def __init__(self, folder):
        self._folder = folder
        self._places = {}

    def restore(self, words):
        """Put what this command wrote into the current folder; whether it ran."""
        place = self._places.get(tuple(words))
        if place:
            shutil.copytree(place, ".", dirs_exist_ok=True)
        return place is not None

    def keep(self, words):
        """Remember what this command wrote, if it wrote anything new."""
        if outputs(words):
            place = self._places[tuple(words)] = self._folder / str(len(self._places))
            for path in outputs(words):
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if path.is_dir() else shutil.copy
                copy(path, place / path)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A `Written` for all pages."""
    return Written(tmp_path_factory.mktemp("written"))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_RUN, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_of_the_page(
    page,
    written,
    call,
    tmp_path,
    monkeypatch,
    without_self_checks,
    capsys,
    request,
):
    own = "inputs_of_tools" if page.name == "tools.md" else "inputs"
    shutil.copytree(request.getfixturevalue(own), tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    with without_self_checks():
        for words in commands(page.read_text(encoding="utf-8")):
            if set(LEFT_OUT) & set(words) or words == ["adapters-tf-train"]:
                continue
            program, *flags = words = prepare(words)
            if written.restore(words):
                continue
            (script,) = entry_points(group="console_scripts", name=program)
            status = call(importlib.import_module(script.module), *flags)
            assert status == 0, f"{words}: {capsys.readouterr().err}"
            assert all(path.exists() for path in outputs(words)), words
            written.keep(words)


@pytest.mark.slow
def test_tables_of_the_results_are_those_of_the_report(
    written, call, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "docs" / "results", "docs/results")
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    (words,) = (w for w in commands(page) if w[:2] == ["adapters-tf-report", "study"])
    words = prepare(words)
    if not written.restore(words):
        assert call(report, *words[1:]) == 0
        written.keep(words)
    tables = pathlib.Path("report/report.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- of the report -->")[2].partition("<!-- end -->")[0]
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert len(rows) > 20 and [row for row in rows if row not in tables] == []


@pytest.mark.parametrize("name", ["gap", "settings", "sizes"])
def test_tables_at_fixed_settings_are_what_their_program_prints(name):
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    words = ["docs/results/fixed_settings.py", "docs/results/study.jsonl", name]
    assert f"\npython {' '.join(words)}\n" in page
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr
    _, _, rest = page.partition(f"<!-- of fixed_settings.py {name} -->")
    shown = rest.partition("<!-- end -->")[0].strip()
    assert shown == done.stdout.decode().strip() and shown.count("\n") > 2


def test_what_is_left_out_is_on_a_page():
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    words = {word for text in texts for words in commands(text) for word in words}
    assert set(LEFT_OUT) <= words
    assert len(PAGES_RUN) > 9


@pytest.mark.parametrize("path", sorted((ROOT / "docs/results").glob("*.yaml")))
def test_grids_of_the_results(path):
    assert len(Sweep.from_dict(read_sweep(str(path))).settings()) > 5
