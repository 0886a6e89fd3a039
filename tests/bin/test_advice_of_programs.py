"""Errors of the command line that name a flag: with that flag the program goes on.

It goes on to its next error, which every case names: a run would take seconds.
"""

import ast
import pathlib
import re
import shlex

import pytest

from adapters_tf.bin import (
    ablate,
    convert,
    edit,
    evaluate,
    export,
    inspect_adapter,
    predict,
    predict_beam,
    report,
    serve,
    sweep,
    train,
)

NO_FILE, NO_ADAPTER = "no.csv", "is not a directory"
SOURCES = "Give one of --file, --data_dir and --tfds. See --help."
BLOCKS = "Give --ablation and --count, or --layers. See --help."
NO_TASKS = "--tasks, --train_file or a grid with tasks is needed."
TASKS = "Give one of --tasks and --train_file."
# The program, what it refuses, and the error; and for each way that the error names,
# the command line that goes that way and the next error. `old.json` is a file.
CASES = [
    (
        train,
        "--task=cola --train_file=no.csv",
        "Give one of --task and --train_file",
        {"--train_file=no.csv": NO_FILE, "--task=cola --data_dir=no": "no folder"},
    ),
    (
        train,
        "--train_file=no.csv --adapter_layers=a",
        "--adapter_layers must be block numbers from 0, with commas between, or top3",
        {
            "--train_file=no.csv --adapter_layers=0,1": NO_FILE,
            "--train_file=no.csv --adapter_layers=top3": NO_FILE,
        },
    ),
    (
        train,
        "--train_file=no.csv --seq_length=7",
        "--seq_length must be 8 or more",
        {"--train_file=no.csv --seq_length=8": NO_FILE},
    ),
    (
        # What comes after this needs a TPU.
        train,
        "--distribution_strategy=tpu --tpu=",
        "--tpu must be a TPU's name, its address grpc://host:port, or 'local'",
        {"--distribution_strategy=tpu --tpu=local": "No TPU was found on this machine"},
    ),
    (train, "extra", "Options begin with --name", {"--train_file=no.csv": NO_FILE}),
    (
        evaluate,
        "--adapter=no",
        SOURCES,
        {
            "--adapter=no --file=no.csv": NO_ADAPTER,
            "--adapter=no --data_dir=no": NO_ADAPTER,
            "--adapter=no --tfds": NO_ADAPTER,
        },
    ),
    (evaluate, "--adapter=no --file=a --tfds", SOURCES, {}),
    (
        evaluate,
        "--adapter=no --file=no.csv --output=old.json",
        "--output must be a new file. 'old.json' exists",
        {"--adapter=no --file=no.csv --output=new.json": NO_ADAPTER},
    ),
    (
        ablate,
        "layers --adapter=no --file=no.csv --output=old.json",
        "--output must be a new file. 'old.json' exists",
        {"layers --adapter=no --file=no.csv --output=new.json": NO_ADAPTER},
    ),
    (
        ablate,
        "layers --adapter=no --file=no.csv --output=no/new.json",
        "--output must be in a directory that exists",
        {"layers --adapter=no --file=no.csv --output=new.json": NO_ADAPTER},
    ),
    (
        predict,
        "--adapter=a=no,b=no --file=no.csv --output=new --cache=disk",
        "Several adapters share what frozen blocks compute by themselves: give "
        "--cache=off with them",
        {"--adapter=a=no,b=no --file=no.csv --output=new --cache=off": NO_ADAPTER},
    ),
    (
        predict,
        "--adapter=no,no --file=no.csv --output=new",
        "Each adapter needs a name of its own, as in --adapter=a=DIR,b=DIR",
        {"--adapter=a=no,b=no --file=no.csv --output=new": NO_ADAPTER},
    ),
    (
        predict,
        "--adapter=no --file=no.csv --output=old.json",
        "--output must be a new file. 'old.json' exists; give --overwrite",
        {
            "--adapter=no --file=no.csv --output=old.json --overwrite": NO_ADAPTER,
            "--adapter=no --file=no.csv --output=new.json": NO_ADAPTER,
        },
    ),
    (
        edit,
        "average --adapters=no,no --weights=a --output_dir=new",
        "--weights takes numbers with commas between them",
        {"average --adapters=no,no --weights=0.5,0.5 --output_dir=new": NO_ADAPTER},
    ),
    (
        edit,
        "prune --adapter=no --layers=a --output_dir=new",
        "--layers takes whole numbers with commas between them",
        {"prune --adapter=no --layers=0,1 --output_dir=new": NO_ADAPTER},
    ),
    (
        edit,
        "prune --adapter=no --output_dir=new",
        BLOCKS,
        {
            "prune --adapter=no --output_dir=new --layers=0": NO_ADAPTER,
            "prune --adapter=no --output_dir=new --ablation=a --count=1": NO_ADAPTER,
        },
    ),
    (
        export,
        "servable --base=no --adapters=a --output_dir=new",
        "--adapters must be name=directory, with commas between",
        {"servable --base=no --adapters=a=no,b=no --output_dir=new": "saved_model.pb"},
    ),
    (
        export,
        "servable --base=no --adapters=a=no,a=no --output_dir=new",
        "--adapters names the task 'a' twice",
        {"servable --base=no --adapters=a=no,b=no --output_dir=new": "saved_model.pb"},
    ),
    (
        report,
        "study --results=no --sizes=a --output_dir=new",
        "--sizes takes whole numbers with commas between them",
        {"study --results=no --sizes=8,64 --output_dir=new": "No such file"},
    ),
    (
        sweep,
        "--tasks=cola --train_file=no.csv",
        TASKS,
        {"--train_file=no.csv": NO_FILE, "--tasks=cola --data_dir=no": "no folder"},
    ),
    (
        sweep,
        "",
        NO_TASKS,
        {
            "--train_file=no.csv": NO_FILE,
            "--tasks=cola --data_dir=no": "no folder",
            "--grid=glue --data_dir=no": "no folder",
        },
    ),
    (
        sweep,
        "--train_file=no.csv --workers=0",
        "--workers must be 1 or more",
        {"--train_file=no.csv --workers=1": NO_FILE},
    ),
    (
        sweep,
        "--train_file=no.csv --worker=a",
        "--worker needs --chief=host:port",
        # A worker waits for its chief. The chief itself goes on.
        {"--train_file=no.csv --chief=127.0.0.1:1": NO_FILE},
    ),
    (
        sweep,
        "--train_file=no.csv --seeds=a",
        "--seeds must be whole numbers with commas between",
        {"--train_file=no.csv --seeds=0,1": NO_FILE},
    ),
    (
        sweep,
        "--train_file=no.csv --top_n=1",
        "--top_n is for other methods than adapters",
        {"--train_file=no.csv --top_n=1 --methods=top_n": NO_FILE},
    ),
    (
        serve,
        "",
        "--servable is needed",
        {"--servable=no --port=0 --grpc_port=0": "servable must be a directory"},
    ),
]


ERRORS = [error for _, _, error, _ in CASES]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with the file of the cases."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.json").write_text("{}")


@pytest.fixture
def fails(call, capsys):
    """Function: the error of a command line that a program refuses."""

    def run(program, text):
        assert call(program, *shlex.split(text)) == 2, text
        error = capsys.readouterr().err
        assert error.count("error: ") == 1 and "Traceback" not in error
        return error

    return run


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case[0].__name__.split('.')[-1]} {case[1]}"
)
def test_the_program_goes_on(case, here, fails):
    program, text, error, ways = case
    assert error in fails(program, text)
    for way, following in ways.items():
        found = fails(program, way)
        assert following in found and error not in found


_FLAG = re.compile(r"(?<![\w-])--([a-z]\w*)")


def test_the_program_has_the_flags_that_it_names():
    for program, text, error, _ in CASES:
        jobs = {job.name: job for job in getattr(program, "JOBS", ())}
        groups = jobs[text.split()[0]].define() if jobs else program.define()
        # `Options begin with --name` means any.
        assert {*_FLAG.findall(error)} <= {*groups.flags, "help", "name"}, error


def test_every_error_that_names_a_flag_is_a_case():
    """All texts of `raise` in bin; flags of computed names are not seen."""
    for path in pathlib.Path(train.__file__).parent.glob("*.py"):
        for part in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for node in ast.walk(part) if isinstance(part, ast.Raise) else ():
                text = node.value if isinstance(node, ast.Constant) else ""
                if {*_FLAG.findall(str(text))} - {"help"} and " " in text.strip():
                    assert any(error in text or text in error for error in ERRORS), text


# === What is needed ===

JOBS = [
    *((p, "") for p in (evaluate, predict, predict_beam, inspect_adapter, serve)),
    *((p, j.name) for p in (convert, edit, export) for j in p.JOBS),
    (report, "study"),
    (report, "glue"),
    (ablate, "layers"),
]


@pytest.mark.parametrize(("program", "job"), JOBS)
def test_flags_that_are_needed(program, job, here, fails):
    """The program asks for one at a time; with all of them it goes on."""
    given = [job, "--preset=./no"] if job == "base" else [job]  # not the demo
    first = len(given)
    while " is needed. See --help." in (error := fails(program, " ".join(given))):
        name = error.removeprefix("error: --").split(" ")[0]
        given.append(f"--{name}=no")
        assert len(set(given)) == len(given)
    assert len(given) > first
