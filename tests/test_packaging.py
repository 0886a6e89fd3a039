"""What is installed, and whether the README's commands are the ones we run."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
# The folders of the checkout that are installed, and as what.
FOLDERS = {
    "adapters_tf": "adapters_tf",
    "bin": "adapters_tf.bin",
    "export": "adapters_tf.export",
}


def packages_on_disk():
    for folder, package in FOLDERS.items():
        for module in (ROOT / folder).rglob("*.py"):
            parts = module.parent.relative_to(ROOT / folder).parts
            yield ".".join([package, *parts])


def modules_on_disk():
    for folder, package in FOLDERS.items():
        for module in (ROOT / folder).rglob("*.py"):
            inside = module.relative_to(ROOT / folder).as_posix()
            yield f"{package.replace('.', '/')}/{inside}"


def test_every_package_on_disk_is_listed():
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert sorted(set(packages_on_disk())) == sorted(listed)


def test_every_package_has_an_init():
    modules = set(modules_on_disk())
    for package in set(packages_on_disk()):
        assert f"{package.replace('.', '/')}/__init__.py" in modules


def test_dependencies_have_lower_and_upper_bounds():
    for requirement in PROJECT["project"]["dependencies"]:
        assert re.fullmatch(r"[\w-]+>=[\d.]+,<[\d.]+", requirement)


def test_installed_modules_are_those_of_the_checkout():
    # Otherwise all other tests say nothing about the files in front of us.
    advice = "Remove the folder build and install the package again."
    for folder, package in FOLDERS.items():
        installed = Path(importlib.util.find_spec(package).origin).parent
        for module in (ROOT / folder).rglob("*.py"):
            copy = installed / module.relative_to(ROOT / folder)
            assert copy.exists(), f"{copy} is missing. {advice}"
            assert copy.read_bytes() == module.read_bytes(), f"{copy} differs. {advice}"
    root = Path(importlib.util.find_spec("adapters_tf").origin).parent.parent
    installed = {
        str(path.relative_to(root)) for path in root.glob("adapters_tf/**/*.py")
    }
    # An editable installation has no adapters_tf/bin of its own.
    assert installed <= set(modules_on_disk()), advice


def test_console_scripts_resolve():
    installed = importlib.metadata.distribution("adapters-tf").entry_points
    scripts = {entry.name: entry for entry in installed.select(group="console_scripts")}
    expected = PROJECT["project"]["scripts"]
    assert {name: entry.value for name, entry in scripts.items()} == expected
    for entry in scripts.values():
        assert callable(entry.load())


@pytest.fixture(scope="session")
def wheel(wheel_file):
    """The names of the files in a wheel built from a clean copy."""
    return zipfile.ZipFile(wheel_file).namelist()


def test_wheel_holds_every_module_and_nothing_beside(wheel):
    files = {name for name in wheel if ".dist-info/" not in name}
    assert files == {*modules_on_disk(), "adapters_tf/py.typed"}
    assert "adapters_tf/bin/train.py" in files
    assert {name.split("/")[0] for name in wheel} == {
        "adapters_tf",
        f"adapters_tf-{PROJECT['project']['version']}.dist-info",
    }


def test_wheel_holds_the_licence(wheel):
    assert [name for name in wheel if name.endswith("/licenses/LICENSE")]


@pytest.mark.slow
def test_wheel_works_outside_of_the_checkout(
    wheel_file, long_preset, sentiment_csv, tmp_path
):
    directory = tmp_path / "environment"
    venv.create(directory)
    python = directory / "bin" / "python"
    pip = [sys.executable, "-P", "-m", "pip", "--python", python, "install", "-q"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel_file], check=True)
    # The dependencies are those of this environment, whose own adapters_tf comes later.
    (site,) = directory.glob("lib/python*/site-packages")
    places = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(places) + "\n")

    def run(program, *flags):
        command = [directory / "bin" / program, *flags]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import adapters_tf.bin.train as train; print(train.__file__)"
    assert Path(run("python", "-P", "-c", where)).is_relative_to(directory)
    small = ("--seq_length=32", "--epochs=1", "--bottleneck_dim=4")
    files = (f"--preset={long_preset}", f"--train_file={sentiment_csv}")
    run("adapters-tf-train", *files, *small, "--output_dir=out")
    assert "classification" in run("adapters-tf-inspect", "--adapter=out/adapter")
    flags = ("--adapter=out/adapter", f"--file={sentiment_csv}", "--output=p.jsonl")
    run("adapters-tf-predict", *flags)
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 200


def test_readme_states_the_commands():
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    start = "python3 -m venv .venv && .venv/bin/pip install -q "
    assert start + ". && .venv/bin/adapters-tf-train" in lines
    for marker in ("test", "checks"):
        assert lines.count(f"<!-- {marker} command -->") == 1
    # No extra can name it: see export/serving_protos.py.
    protos = 'install -q --no-deps "tensorflow-serving-api>=2.21,<2.22"'
    pytest = ".venv/bin/pytest -n 2 --dist=loadfile -m"
    install = f'{start}".[test]" && .venv/bin/pip {protos}'
    assert f'{install} && {pytest} "not checks"' in lines
    assert f"{pytest} checks" in lines
    assert f'pip install -q ".[serve]" && pip {protos}' in lines


def run_ci(folder, readme):
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci")
    if readme is not None:
        (folder / "README.md").write_text(readme)
    # From another folder: the script must find the checkout by itself.
    command = [folder / ".ci" / "run"]
    return subprocess.run(command, cwd="/", capture_output=True, text=True)


MARKER, CHECKS = "<!-- test command -->\n", "<!-- checks command -->\n"
COMMAND = '```bash\necho "a  b" > here && exit 7\n```\n'


CHECK = "```sh\necho checked >> here\n```\n"
OTHER = "```\nfalse\n```\n"


@pytest.mark.parametrize("between", ["", "\n"])
def test_ci_runs_the_commands_of_the_readme(tmp_path, between):
    readme = [OTHER, MARKER, between, COMMAND, OTHER, CHECKS, between, CHECK, OTHER]
    result = run_ci(tmp_path, "".join(readme))
    # The checks run although a test failed, which counts.
    assert result.returncode == 7
    assert (tmp_path / "here").read_text() == "a  b\nchecked\n"
    said = ['+ echo "a  b" > here && exit 7', "+ echo checked >> here"]
    assert result.stderr.splitlines() == said


def test_ci_fails_if_a_check_does(tmp_path):
    readme = MARKER + CHECK + CHECKS + COMMAND
    assert run_ci(tmp_path, readme).returncode == 7


@pytest.mark.parametrize(
    ("readme", "received"),
    [
        (None, "There is no README.md"),
        ("", "Received: 0 commands"),
        (COMMAND, "Received: 0 commands"),
        (MARKER + "Some text.\n" + COMMAND, "Received: 0 commands"),
        (MARKER + "```\n```\n", "Received: 0 commands"),
        (MARKER + "```\ntrue\ntrue\n```\n", "Received: 2 commands"),
        (MARKER + COMMAND + MARKER + COMMAND, "Received: 2 commands"),
        (MARKER + COMMAND, "one checks command: "),
        (MARKER + COMMAND + CHECKS + "Text.\n" + COMMAND, "one checks command: "),
    ],
)
def test_ci_fails_without_exactly_two_commands(tmp_path, readme, received):
    result = run_ci(tmp_path, readme)
    assert result.returncode == 2
    assert received in result.stderr
    assert not (tmp_path / "here").exists()


def test_ci_script_is_executable():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.checks
@pytest.mark.skipif(not importlib.util.find_spec("ruff"), reason="ruff is absent")
def test_ruff_finds_nothing():
    command = [sys.executable, "-P", "-m", "ruff", "check", "-q", "--no-cache", ROOT]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
