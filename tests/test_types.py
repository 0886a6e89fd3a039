"""The type hints, which strangers' checkers read, as mypy sees them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.checks
@pytest.mark.slow
def test_mypy_finds_nothing(tmp_path):
    pytest.importorskip("mypy")
    # As it is installed: bin/ and export/ lie at the top of the checkout.
    package = tmp_path / "adapters_tf"
    package.mkdir()
    parts = [*(ROOT / "adapters_tf").iterdir(), ROOT / "bin", ROOT / "export"]
    for part in parts:
        (package / part.name).symlink_to(part)
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    command = [sys.executable, "-P", "-m", "mypy"]
    command += ["-p", "adapters_tf", "-p", "benchmarks"]
    command.append(f"--config-file={ROOT / 'pyproject.toml'}")
    # Its cache is made in the working directory.
    environment = {k: v for k, v in os.environ.items() if k != "MYPYPATH"}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    # All of them, and not an installed copy, of which it would check nothing.
    parts.append(ROOT / "benchmarks")
    files = [*parts, *(path for part in parts for path in part.rglob("*"))]
    number = sum(path.suffix == ".py" for path in files)
    assert result.stdout == f"Success: no issues found in {number} source files\n"
