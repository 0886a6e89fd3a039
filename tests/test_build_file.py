"""BUILD, evaluated as Bazel would, against the files and imports that are there.

BUILD is Starlark, of which it uses what Python has too: so Python runs it here, with
functions that take note of each target. npm's index has Bazel 2.1.0, but none has the
rules that BUILD loads: with stand-ins for these Bazel's query must find the same graph.
No target was ever built.
"""

import ast
import graphlib
import os
import pathlib
import re
import shutil
import subprocess
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# Of :base is what lies right in adapters_tf, and of :adapters_tf its __init__.py.
BASE, WHOLE = "base", "adapters_tf"


def glob(include, exclude=(), allow_empty=False):
    # A last ** is of directories alone to Python, and of files to Bazel.
    include = [f"{p}/*" if p.endswith("**") else p for p in include]
    found = {p for pattern in include for p in ROOT.glob(pattern) if p.is_file()}
    found -= {p for pattern in exclude for p in ROOT.glob(pattern)}
    kept = [p for p in found if "__pycache__" not in p.parts]
    assert kept or allow_empty, f"nothing fits {include}"
    return sorted(p.relative_to(ROOT).as_posix() for p in kept)


@pytest.fixture(scope="module")
def targets():
    """Name -> rule and arguments of each target."""
    found = {}

    def rule(kind):
        def add(name, **arguments):
            assert name not in found, f"two targets have the name {name}"
            found[name] = {"kind": kind, **arguments}

        return add

    def ignore(*args, **kwargs):
        pass

    names = {
        name: rule(name) for name in ("genrule", "py_binary", "py_library", "py_test")
    }
    names |= {n: ignore for n in ("exports_files", "licenses", "load", "package")}
    exec((ROOT / "BUILD").read_text(), {"glob": glob, **names})
    return found


def libraries(targets):
    return {n: t for n, t in targets.items() if t["kind"] == "py_library"}


def source(path):
    """The file of the checkout: bin/ and export/ are copied into adapters_tf/."""
    inside = path.removeprefix("adapters_tf/")
    return inside if inside.split("/")[0] in ("bin", "export") else path


def all_deps(targets, name):
    found, todo = set(), [name]
    while todo:
        for label in targets[todo.pop()].get("deps", ()):
            if label[1:] not in found:
                found.add(label[1:])
                todo.append(label[1:])
    return found


def test_every_label_and_file_is_there(targets):
    made = {out for t in targets.values() for out in t.get("outs", ())}
    for name, target in targets.items():
        for label in target.get("deps", ()):
            assert label[0] == ":" and label[1:] in targets, f"{name} needs {label}"
        for path in [*target.get("srcs", ()), *target.get("data", ())]:
            assert path in made or (ROOT / path).is_file(), f"{name} has no {path}"


def test_every_module_is_in_one_library(targets):
    listed = [source(p) for t in libraries(targets).values() for p in t["srcs"]]
    modules = glob(
        [
            f"{folder}/**/*.py"
            for folder in ("adapters_tf", "benchmarks", "bin", "export")
        ]
    )
    assert sorted(listed) == modules


def test_libraries_depend_on_what_their_files_import(targets):
    home = {
        source(p): name for name, t in libraries(targets).items() for p in t["srcs"]
    }
    seen = 0
    for path, name in home.items():
        wanted = {imported(module) for module in imported_modules(path)} - {None}
        for package in wanted - {name, BASE}:
            seen += 1
            assert package in all_deps(targets, name), f"{path} imports {package}"
    assert seen > 200


def imported_modules(path):
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imported(module):
    """The library of an imported module of ours; `None` of others."""
    first, _, rest = module.partition(".")
    if first == "benchmarks":
        return first
    if first != "adapters_tf":
        return None
    package = rest.partition(".")[0]
    if not package:
        return WHOLE
    is_package = (ROOT / "adapters_tf" / package).is_dir() or (ROOT / package).is_dir()
    return package if is_package else BASE


def test_programs_are_those_of_pyproject(targets):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    programs = {n: t["main"] for n, t in targets.items() if t["kind"] == "py_binary"}
    assert programs == {
        name: entry.partition(":")[0].replace(".", "/") + ".py"
        for name, entry in project["scripts"].items()
    }


# The tests right in tests/ that Bazel is not to run; BUILD says why.
LEFT_OUT = {"build_file", "docs", "packaging"}


def test_tests_are_those_on_disk(targets):
    suites = {n for n, t in targets.items() if t["kind"] == "py_test"}
    folders = {path.split("/")[1] for path in glob(["tests/*/**/test_*.py"])}
    root = {pathlib.Path(path).stem[5:] for path in glob(["tests/test_*.py"])}
    assert LEFT_OUT < root
    assert suites == {f"{name}_test" for name in folders | root - LEFT_OUT}
    ran = {p for n in suites for p in targets[n]["srcs"] if "/test_" in p}
    left_out = {f"tests/test_{name}.py" for name in LEFT_OUT}
    assert ran == set(glob(["tests/**/test_*.py"])) - left_out


def test_tests_have_the_pages_that_they_read(targets):
    pages = {pathlib.Path(path).name: path for path in glob(["docs/**/*.md"])}
    seen = set()
    for name, target in targets.items():
        if target["kind"] == "py_test":
            for path in target["srcs"]:
                if path != "run_pytest.py":
                    read = {pages[text] for text in strings(path) if text in pages}
                    assert read <= {*target["data"]}, f"{name}: {path}"
                    seen |= read
    assert {"docs/jax.md", "docs/tutorial.md"} <= seen


def strings(path):
    """The texts that stand in a module."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def npm(*command):
    """Run npm; skips where it is not there or has no index."""
    if shutil.which("npm") is None:
        pytest.skip("npm, which has Bazel's programs, is not installed")
    done = subprocess.run(["npm", *command], capture_output=True, text=True)
    # npm's own words, and not what a program that it runs says.
    if re.search(r"npm (ERR!|error) (network|code E\w+|errno E\w+)", done.stderr):
        pytest.skip(f"needs npm's index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


@pytest.mark.checks
@pytest.mark.network
def test_buildifier_finds_nothing():
    buildifier = ["exec", "--yes", "--package=@bazel/buildifier@8.2.1", "--"]
    check = ["buildifier", "--mode=check", "--lint=warn", str(ROOT / "BUILD")]
    npm(*buildifier, *check)


# What BUILD reads of the checkout, beside its files and tests/.
PARTS = ("adapters_tf", "benchmarks", "bin", "docs", "export", "notebooks")

# Of the rules that BUILD loads, what a query reads: no package index has them. They
# have no toolchains, which Bazel would get from the network.
RULES = """
def _nothing(ctx):
    return []

def _rule(executable = False):
    attrs = {
        "data": attr.label_list(allow_files = True),
        "deps": attr.label_list(),
        "imports": attr.string_list(),
        "main": attr.label(allow_single_file = True),
        "srcs": attr.label_list(allow_files = True),
    }
    return rule(implementation = _nothing, attrs = attrs, executable = executable)

py_library = _rule()
py_binary = _rule(executable = True)

def py_test(size, **kwargs):
    # A rule of tests would have more to get from there.
    py_binary(**kwargs)
"""


@pytest.fixture(scope="module")
def bazel_graph(tmp_path_factory):
    """Each target and file of BUILD -> those that it names, as Bazel finds them."""
    folder = tmp_path_factory.mktemp("bazel")
    npm("install", f"--prefix={folder}", "--no-audit", "@bazel/bazel@2.1.0")
    (bazel,) = folder.glob("node_modules/@bazel/bazel-linux_x64/bazel-*")
    bazel.chmod(0o755)
    for path, text in {
        "WORKSPACE": "",
        "rules_python/WORKSPACE": "",
        "rules_python/python/BUILD": "",
        "rules_python/python/defs.bzl": RULES,
    }.items():
        path = folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    workspace = folder / "workspace"
    workspace.mkdir()
    (folder / "WORKSPACE").rename(workspace / "WORKSPACE")
    for part in glob(["*"]) + [*PARTS]:
        (workspace / part).symlink_to(ROOT / part)
    (workspace / "tests").symlink_to(ROOT / "tests")
    done = subprocess.run(
        # --batch leaves no server behind.
        [bazel, "--batch", "--ignore_all_rc_files"]
        + [f"--output_user_root={folder}/output", "query", "deps(//...)"]
        + [f"--override_repository=rules_python={folder}/rules_python"]
        + ["--noimplicit_deps", "--nohost_deps", "--incompatible_disallow_empty_glob"]
        + ["--output=graph", "--nograph:factored", "--graph:node_limit=-1"],
        cwd=workspace,
        env={**os.environ, "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    graph = {}
    for line in done.stdout.splitlines():
        if found := re.fullmatch(r'  "//:(.*?)"(?: -> "//:(.*)")?', line):
            graph.setdefault(found[1], set()).update({found[2]} - {None})
    return graph


@pytest.mark.checks
@pytest.mark.network
@pytest.mark.slow
def test_bazel_finds_the_same_graph(bazel_graph, targets):
    made = {out: name for name, t in targets.items() for out in t.get("outs", ())}
    for name, target in targets.items():
        labels = [label.removeprefix(":") for label in target.get("deps", ())]
        names = {*labels, *target.get("srcs", ()), *target.get("data", ())}
        assert bazel_graph[name] == names, name
    for out, name in made.items():
        # It leaves what nothing uses out.
        assert bazel_graph.get(out, {name}) == {name}
    for path in bazel_graph.keys() - targets.keys() - made.keys():
        # Bazel takes any name that is no target for a file.
        assert not bazel_graph[path] and (ROOT / path).is_file(), path
    # Raises where there is a cycle.
    order = [*graphlib.TopologicalSorter(bazel_graph).static_order()]
    assert order.index("layers") < order.index("adapters_tf") < order.index("bin_test")
