"""Imports go one way.

layers <- adapters <- models <- data/tasks <- training <- export <- convert <- study
<- tools <- bin <- benchmarks.
"""

import ast
import pathlib

ROOT = pathlib.Path(__file__).parent.parent
ORDER = [
    "layers",
    "adapters",
    "models",
    "data",
    "tasks",
    "training",
    "export",
    "convert",
    "study",
    "tools",
    "bin",
    "benchmarks",
]


def imports(path):
    """The adapters_tf packages that a file imports from."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "adapters_tf" and len(parts) > 1:
                yield parts[1]
            elif parts[0] == "benchmarks":
                yield parts[0]


def test_imports_go_one_way():
    seen = 0
    for package in ORDER:
        place = ROOT / package if package in ("bin", "export", "benchmarks") else None
        for path in (place or ROOT / "adapters_tf" / package).rglob("*.py"):
            for imported in imports(path):
                if imported in ORDER:
                    seen += 1
                    assert ORDER.index(imported) <= ORDER.index(package), (
                        f"{path.relative_to(ROOT)} imports adapters_tf.{imported}"
                    )
    assert seen > 50


def test_no_file_is_over_400_lines():
    for path in [
        *ROOT.glob("adapters_tf/**/*.py"),
        *ROOT.glob("benchmarks/**/*.py"),
        *ROOT.glob("bin/**/*.py"),
        *ROOT.glob("export/**/*.py"),
    ]:
        assert len(path.read_text().splitlines()) <= 400, path
