"""What test processes share is made once, also when several ask at a time."""

import multiprocessing
import time

import pytest
from shared import SharedArtefacts, run_directory


def ask(root):
    def make(directory):
        with open(root / "made", "a") as file:
            file.write("x")
        time.sleep(0.2)  # The others come meanwhile.
        (directory / "value").write_text("7")

    assert (SharedArtefacts(root).get("one", make) / "value").read_text() == "7"


def test_several_processes_make_one(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=ask, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "made").read_text() == "x"


def test_a_failure_leaves_nothing(tmp_path):
    shared = SharedArtefacts(tmp_path)

    def fail(directory):
        (directory / "half").touch()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        shared.get("one", fail)
    made = shared.get("one", lambda directory: (directory / "whole").touch())
    assert [path.name for path in made.iterdir()] == ["whole"]


def test_artefacts_may_need_others(tmp_path):
    shared = SharedArtefacts(tmp_path)
    made = shared.get("outer", lambda _: shared.get("inner", lambda _: None))
    assert made == tmp_path / "outer" and (tmp_path / "inner").is_dir()


@pytest.mark.parametrize(("worker", "found"), [(None, "run/gw0"), ("gw0", "run")])
def test_run_directory(worker, found, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    if worker:
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
    assert run_directory(tmp_path / "run" / "gw0") == tmp_path / found
