"""Run a benchmark: `python benchmarks/run.py JOB --flags`; `--help` lists the jobs.

It needs the package installed, and works from any directory.
"""

import importlib
import importlib.util
import sys
from pathlib import Path


def load_package() -> None:
    """Make `benchmarks` importable without the checkout's root on `sys.path`.

    With the root there, its folder `adapters_tf` would hide the installed package.
    """
    if "benchmarks" in sys.modules:
        return
    folder = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        "benchmarks", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec and spec.loader
    package = sys.modules["benchmarks"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


def main() -> None:
    """Run the job on the command line, or the child process that a job started."""
    folder = str(Path(__file__).resolve().parent)
    # Names such as `data` are this folder's only as `benchmarks.data`.
    sys.path[:] = [path for path in sys.path if path != folder]
    load_package()
    if sys.argv[1:2] == ["--child"]:
        module = importlib.import_module(f"benchmarks.{sys.argv[2]}")
        module.run_child(*sys.argv[3:])
    else:
        importlib.import_module("benchmarks.jobs").cli()


if __name__ == "__main__":
    main()
