"""What docs/design.md says of files: nothing that is read can run as a program."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = [
    path
    for name in ("adapters_tf", "benchmarks", "bin", "export")
    for path in ROOT.glob(f"{name}/**/*.py")
]
KNOWN = {
    # Reads pickles of torch as tensors, with a closed list of what they may name.
    "adapters_tf/convert/torch_files.py": ["pickle"],
    # Run by the peer's Python alone, on files of this machine.
    "benchmarks/steps_peer.py": ["torch", "torch"],
    "benchmarks/time_to_quality_peer.py": ["torch"],
}
IMPORTS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "torch"}
CALLS = {
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.unsafe_load",
    "keras.config.enable_unsafe_deserialization",
}
# Archives are read by name, and never unpacked as they ask to be.
METHODS = {"extract", "extractall"}
ARGUMENTS = {"shell": True, "allow_pickle": True, "safe_mode": False}


def found(source):
    """Each of the above in this source, as text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            yield from (n for n in names if n.split(".")[0] in IMPORTS)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS or name.split(".")[-1] in METHODS:
                yield name
            for keyword in node.keywords:
                value = getattr(keyword.value, "value", None)
                if keyword.arg in ARGUMENTS and value is ARGUMENTS[keyword.arg]:
                    yield f"{keyword.arg}={value}"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import pickle", ["pickle"]),
        ("from torch.serialization import load", ["torch.serialization"]),
        ("eval(text)", ["eval"]),
        ("model.eval()", []),
        ("np.load(f, allow_pickle=True)", ["allow_pickle=True"]),
        ("run(command, shell=False)", []),
        ("archive.extractall(path)", ["archive.extractall"]),
    ],
)
def test_search(source, what):
    assert list(found(source)) == what


def test_nothing_that_is_read_can_run():
    seen = {
        path.relative_to(ROOT).as_posix(): list(found(path.read_text("utf-8")))
        for path in MODULES
    }
    assert len(seen) > 100
    assert {path: what for path, what in seen.items() if what} == KNOWN
