"""A sweep's directory: its trials, and their results as one file."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adapters_tf.errors import UserError
from adapters_tf.io import read_json, write_file, write_json
from adapters_tf.study.results import RESULTS_FILE, Result
from adapters_tf.study.setting import Setting
from adapters_tf.study.sweep import Sweep
from adapters_tf.training.run_dir import (
    ADAPTER_DIR,
    held_files,
    lock_directory,
)

SWEEP_FILE = "sweep.json"
TRIALS_DIR = "trials"
ENGINE_DIR = "engine"
RUN_DIR = "run"
LOG_FILE = "log.txt"
_RESULT_FILE = "result.json"


class Store:
    """The directory of a sweep, on a file system that all its workers share.

    Args:
        directory: The directory; made by `open`.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self._results: dict[str, Result] = {}

    @contextlib.contextmanager
    def open(self, sweep: Sweep) -> Iterator[None]:
        """Claim it for one sweep; the workers of that sweep do not claim it.

        Raises:
            UserError: It cannot be written, is in use, holds other files, or the
                trials of a sweep of other data, another base or another length.
        """
        shared = sweep.shared()
        self._check(shared)
        with lock_directory(self.directory):
            # Those of before stay: a later sweep may leave some tasks out.
            old = self._read_shared() or {"tasks": {}}
            shared["tasks"] = {**old["tasks"], **shared["tasks"]}
            write_json(self.directory / SWEEP_FILE, shared)
            (self.directory / TRIALS_DIR).mkdir(exist_ok=True)
            yield

    def _read_shared(self) -> dict[str, Any] | None:
        try:
            return read_json(self.directory / SWEEP_FILE)
        except FileNotFoundError:
            return None

    def _check(self, shared: dict[str, Any]) -> None:
        if not self.directory.is_dir():
            return
        old = self._read_shared()
        if old is None:
            if files := held_files(self.directory):
                raise UserError(
                    "output_dir must be new, empty, or hold an earlier sweep. "
                    f"Received: {str(self.directory)!r}, which holds other files: "
                    f"{', '.join(files[:5])}"
                )
            return
        changed = [n for n in shared if n != "tasks" and shared[n] != old.get(n)]
        tasks = shared["tasks"]
        changed += [
            f"task {n}" for n in tasks if old["tasks"].get(n, tasks[n]) != tasks[n]
        ]
        if changed:
            raise UserError(
                "The trials in one output_dir must share their data, base and length; "
                "the grid and the seeds may grow. Received: another "
                f"{', '.join(changed)} than in {self.directory / SWEEP_FILE}. Choose "
                "another output_dir."
            )

    def trial_dir(self, setting: Setting) -> Path:
        """The directory of a trial."""
        return self.directory / TRIALS_DIR / setting.name

    def adapter_dir(self, setting: Setting) -> Path:
        """Where a trial's adapter is kept."""
        return self.trial_dir(setting) / ADAPTER_DIR

    def save(self, result: Result) -> None:
        """Make a trial a finished one; its run's files are no longer needed."""
        directory = self.trial_dir(result.setting)
        run = directory / RUN_DIR
        if (run / ADAPTER_DIR).is_dir():
            shutil.rmtree(directory / ADAPTER_DIR, ignore_errors=True)
            os.replace(run / ADAPTER_DIR, directory / ADAPTER_DIR)
        write_json(directory / _RESULT_FILE, result.to_dict())
        shutil.rmtree(run, ignore_errors=True)

    def result(self, setting: Setting) -> Result | None:
        """A trial's result, if it is finished."""
        if setting.name not in self._results:
            path = self.trial_dir(setting) / _RESULT_FILE
            if not path.is_file():
                return None
            self._results[setting.name] = Result.from_dict(read_json(path))
        return self._results[setting.name]

    def results(self) -> Mapping[str, Result]:
        """All finished trials, by their setting's name."""
        for path in sorted((self.directory / TRIALS_DIR).glob(f"*/{_RESULT_FILE}")):
            if path.parent.name not in self._results:
                self._results[path.parent.name] = Result.from_dict(read_json(path))
        return self._results

    def publish(self) -> None:
        """Write the results' file, and drop adapters that are no longer the best.

        Of the adapters of a task and variant the one with the best dev score is kept.
        """
        results = self.results()
        lines = [json.dumps(results[name].to_dict()) for name in sorted(results)]
        content = "".join(f"{line}\n" for line in lines)
        write_file(self.directory / RESULTS_FILE, content)
        kept = {
            max(group, key=lambda r: r.score).setting.name
            for group in _groups(results).values()
        }
        for name in results:
            if name not in kept:
                shutil.rmtree(
                    self.directory / TRIALS_DIR / name / ADAPTER_DIR,
                    ignore_errors=True,
                )


def _groups(results: Mapping[str, Result]) -> dict[tuple[str, str], list[Result]]:
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results.values():
        key = (result.setting.task, result.setting.variant)
        groups.setdefault(key, []).append(result)
    return groups
