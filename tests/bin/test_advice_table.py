"""Which errors name a flag, which programs have it, and the test that it helps.

These tests fail where an error of the library is new or names another flag, until it
stands in the table. test_advice_of_programs.py does so for the errors of bin.
"""

import ast
import pathlib
import re

import pytest

from adapters_tf.bin import (
    ablate,
    convert,
    edit,
    evaluate,
    export,
    predict,
    predict_beam,
    report,
    serve,
    sweep,
    train,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
_FLAG = re.compile(r"(?<![\w-])--([a-z]\w*)")
# Texts that are commands, with flags of other programs among them.
COMMANDS = {
    "adapters_tf/models/model_card.py",
    "export/deployment/config_files.py",
    "export/deployment/kubernetes.py",
    "export/serving_protos.py",
}
TRAINING = ["train", "sweep", "ablate init_scale"]
LABELLED = ["evaluate", "ablate layers"]
# Of files of the user's own; `reading_published_files` says so of those of tasks.
ROWS = [*TRAINING, *LABELLED, "predict", "predict_beam"]
BASES = [*ROWS[:-1], "report glue", "export base", "export adapter"]
BASES += [f"convert {job}" for job in ("from_adapterhub", "from_adapter_bert")]
HELPS = "bin/test_advice.py::test_the_flag_helps"
OVERWRITES = "bin/test_programs.py::test_truncated_checkpoint_is_named_and_passed_over"
# File -> flags that its errors name, the programs that have these (those where they
# help; other programs that raise it have the program's name in the text, or another
# way), and the test that follows the advice.
TABLE = {
    "adapters_tf/convert/adapterhub.py": [
        (
            "tanh_gelu",
            ["convert from_adapterhub"],
            "convert/test_from_adapterhub.py::"
            "test_a_base_with_the_tanh_form_is_refused_unless_asked_for",
        )
    ],
    "adapters_tf/data/conll.py": [("text_columns", ROWS, HELPS)],
    "adapters_tf/data/demo.py": [
        ("preset", BASES, "bin/test_advice.py::test_the_demo_without_a_network"),
        ("train_file", TRAINING, "bin/test_advice.py::test_the_demo_without_a_network"),
    ],
    "adapters_tf/data/files.py": [
        ("delimiter", ROWS, HELPS),
        ("label_kind", TRAINING, HELPS),
    ],
    "adapters_tf/data/label_sets.py": [
        ("label_kind", TRAINING, HELPS),
        ("label_columns", TRAINING + LABELLED, HELPS),
        ("label_separator", TRAINING + LABELLED, HELPS),
    ],
    "adapters_tf/data/labels.py": [("label_kind", TRAINING, HELPS)],
    "adapters_tf/data/tables.py": [
        (name, ROWS, HELPS) for name in ("delimiter", "encoding", "header", "quoting")
    ],
    "adapters_tf/data/tfds_source.py": [
        (
            name,
            TRAINING + LABELLED,
            "bin/test_advice.py::test_a_task_of_tensorflow_datasets",
        )
        for name in ("data_dir", "tfds_data_dir")
    ],
    "adapters_tf/study/glue_submission.py": [
        (
            "overwrite",
            ["report glue"],
            "study/test_glue_submission.py::"
            "test_earlier_files_are_replaced_only_when_asked",
        ),
        ("task", ["train"], "bin/test_advice.py::test_a_task_of_tensorflow_datasets"),
    ],
    "adapters_tf/study/report/write.py": [
        (
            "overwrite",
            ["report study"],
            "study/report/test_write.py::test_a_report_is_replaced_only_with_overwrite",
        )
    ],
    "adapters_tf/tasks/file_task.py": [("label_kind", TRAINING, HELPS)],
    "adapters_tf/tasks/source.py": [
        (
            "data_dir",
            TRAINING + LABELLED,
            "tasks/test_registry.py::test_text_task_from_files",
        ),
        *(
            (name, programs, "bin/test_advice.py::test_questions_of_another_name")
            for name, programs in (
                ("train_file", TRAINING),
                ("dev_file", TRAINING),
                ("file", LABELLED),
            )
        ),
    ],
    "adapters_tf/tasks/regression.py": [("label_kind", TRAINING, HELPS)],
    "adapters_tf/training/checkpoints.py": [("overwrite", ["train"], OVERWRITES)],
    "adapters_tf/training/devices.py": [
        # As far as it goes without a TPU.
        (
            "tpu",
            ["train"],
            "bin/test_advice_of_programs.py::test_the_program_goes_on",
        )
    ],
    "adapters_tf/training/predict_file.py": [
        (
            "output",
            ["predict"],
            "bin/test_advice_of_programs.py::test_the_program_goes_on",
        ),
        (
            "overwrite",
            ["predict"],
            "bin/test_predict_resume.py::test_an_output_that_is_there",
        ),
    ],
    "adapters_tf/training/run_dir.py": [("overwrite", ["train"], OVERWRITES)],
    "adapters_tf/training/trainer.py": [
        (
            name,
            ["train"],
            "bin/test_programs.py::test_diverging_run_stops_and_says_where",
        )
        for name in ("learning_rate", "overwrite")
    ],
    "export/bulk_job.py": [
        (
            "task_signatures",
            ["export servable"],
            "export/test_versions.py::test_bulk_predictions_need_own_signatures",
        )
    ],
    "export/task_folder.py": [
        (
            "replace",
            ["export add"],
            "export/test_live.py::test_add_replace_and_remove_change_one_file",
        )
    ],
    "export/versions.py": [
        (
            "live",
            ["export servable"],
            "export/test_live.py::test_a_servable_without_tasks_is_live",
        ),
        ("replace", ["export add"], "bin/test_export.py::test_replace_goes_on"),
    ],
}


def groups():
    """The flags of each program, by its name and its job's."""
    plain = (train, sweep, evaluate, predict, predict_beam, serve)
    found = {p.__name__.split(".")[-1]: p.define() for p in plain}
    for program in (ablate, convert, edit, export, report):
        name = program.__name__.split(".")[-1]
        found |= {f"{name} {job.name}": job.define() for job in program.JOBS}
    return found


def texts(path):
    """The texts of a file, without documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documentation
    }


def test_every_error_of_the_library_is_in_the_table():
    found = {}
    for path in [
        p for f in ("adapters_tf", "export") for p in (ROOT / f).rglob("*.py")
    ]:
        name = path.relative_to(ROOT).as_posix()
        # A text without a space is a word of a command, such as `--output_dir=A`.
        messages = [t for t in texts(path) if " " in t.strip()]
        flags = {flag for text in messages for flag in _FLAG.findall(text)}
        if flags and name not in COMMANDS:
            found[name] = flags
    table = {name: {flag for flag, *_ in rows} for name, rows in TABLE.items()}
    assert found == table


def test_every_program_of_the_table_has_the_flag():
    programs = groups()
    for name, rows in TABLE.items():
        for flag, having, _ in rows:
            for program in having:
                assert flag in programs[program].flags, (name, flag, program)


@pytest.mark.parametrize("test", sorted({row[2] for r in TABLE.values() for row in r}))
def test_every_test_of_the_table_is_there(test):
    file, name = test.split("::")
    assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")
