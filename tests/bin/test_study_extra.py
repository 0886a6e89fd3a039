"""Without the libraries of the extra `study`."""

import ast
import pathlib
import sys

import pytest

from adapters_tf.bin import ablate, report, sweep

ROOT = pathlib.Path(__file__).parent.parent.parent
LIBRARIES = ("keras_tuner", "matplotlib", "rich", "yaml")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("program", "args"),
    [
        (sweep, ["--tasks=cola"]),
        (ablate, ["init_scale", "--tasks=cola"]),
        (report, ["study", "--results=sweep", "--output_dir=R"]),
    ],
    ids=["sweep", "ablate", "report"],
)
def test_programs_say_what_to_install(
    library, program, args, call, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, library, None)  # `import` fails from now on
    assert call(program, *args) == 2
    error = capsys.readouterr().err
    assert f'Not installed: {library}. Run: pip install "adapters-tf[study]"' in error
    assert not list(tmp_path.iterdir())
    assert call(program, *args[:1], "--help") == 0


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_nothing_else_needs_them():
    found = {
        path.relative_to(ROOT).parts[:2]
        for folder in ("adapters_tf", "bin", "export")
        for path in (ROOT / folder).rglob("*.py")
        if set(LIBRARIES) & set(imported(path))
    }
    assert found - {("adapters_tf", "benchmark")} == {("adapters_tf", "study")}
