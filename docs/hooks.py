"""What the site has that no file in docs/ holds: README.md, and each --help."""

import importlib
import re
import runpy
import shutil
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent


_PACKAGE = ROOT / "build" / "site_source" / "adapters_tf"


def on_startup(command: str, dirty: bool) -> None:
    """Lay the package out as it is installed, for the reference; called by MkDocs.

    bin/ and export/ lie at the top of the checkout, where adapters_tf.bin and
    adapters_tf.export are not found by who reads the files. mkdocs.yml names the place,
    which is looked for before the first event that has the configuration.
    """
    shutil.rmtree(_PACKAGE, ignore_errors=True)
    _PACKAGE.mkdir(parents=True)
    parts = [*(ROOT / "adapters_tf").iterdir(), ROOT / "bin", ROOT / "export"]
    for part in parts:
        (_PACKAGE / part.name).symlink_to(part)


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages; called by MkDocs."""
    for name, content in (("index.md", index()), ("programs.md", programs())):
        files.append(File.generated(config, name, content=content))
    return files


def index() -> str:
    """README.md with its links as the site has them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.sub(r"\]\(docs/", "](", text)


def programs() -> str:
    """The --help of every program and job, as it is printed."""
    parts = [
        "# Programs\n\nExit codes are in [Files and exit codes](formats.md#exit-codes)."
    ]
    for name, module in sorted(scripts().items()):
        parts.append(f"## {name}")
        for job, groups in helps(module).items():
            if job:
                parts.append(f"### {name} {job}")
            parts.append(f"```text\n{groups.help()}\n```")
    return "\n\n".join(parts) + "\n"


def scripts() -> dict[str, str]:
    """Program -> module: those of pyproject.toml, and the benchmarks."""
    runpy.run_path(str(ROOT / "benchmarks" / "run.py"))["load_package"]()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = project["project"]["scripts"]
    programs = {name: target.partition(":")[0] for name, target in found.items()}
    return programs | {"python benchmarks/run.py": "benchmarks.jobs"}


def helps(module_name: str) -> dict[str, Any]:
    """Job -> its flags; of a program without jobs, `""` -> its flags."""
    module = importlib.import_module(module_name)
    if hasattr(module, "JOBS"):
        return {job.name: job.define() for job in module.JOBS}
    return {"": module.define()}
