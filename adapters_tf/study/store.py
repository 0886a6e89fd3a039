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
from adapters_tf.study.grid import Setting
from adapters_tf.study.results import RESULTS_FILE, Result
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
# Keys of `SWEEP_FILE` for what the rows and the base hold.
_ROWS, _BASE = "rows", "base_fingerprint"


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
        """Claim the directory for a sweep; only its chief does, not its workers.

        Raises:
            UserError: The directory cannot be written, is in use, or holds other files
                or a sweep of other data, another base or another length.
        """
        shared = sweep.shared()
        self._check(shared)
        with lock_directory(self.directory):
            # A later sweep may leave out some of the earlier tasks: keep them.
            old = self._read_shared() or {"tasks": {}}
            shared["tasks"] = {**old["tasks"], **shared["tasks"]}
            shared |= {key: old[key] for key in (_ROWS, _BASE) if key in old}
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

    def claim_data(
        self, rows: Mapping[str, Mapping[str, str]], base: str | None
    ) -> None:
        """Claim the directory for these rows and this base; within `open`.

        Args:
            rows: The `data_digests` of each task.
            base: The base's fingerprint.

        Raises:
            UserError: The directory holds trials on other rows or another base.
        """
        shared = self._read_shared() or {}
        old = shared.get(_ROWS, {})
        changed = [
            f"the rows of {name} have changed"
            for name, digests in rows.items()
            if old.get(name, digests) != digests
        ]
        if shared.get(_BASE) not in (None, base):
            changed.append("the weights of the base have changed")
        if changed and any((self.directory / TRIALS_DIR).iterdir()):
            raise UserError(
                "The trials in one output_dir must share their rows and base. "
                f"Received: {'; '.join(changed)} since the trials in "
                f"{str(self.directory)!r}. Choose another output_dir."
            )
        shared |= {_ROWS: {**old, **rows}, _BASE: base}
        write_json(self.directory / SWEEP_FILE, shared)

    def trial_dir(self, setting: Setting) -> Path:
        """The directory of a trial."""
        return self.directory / TRIALS_DIR / setting.name

    def save(self, result: Result) -> None:
        """Save a finished trial's result and adapter; delete the rest of its run."""
        directory = self.trial_dir(result.setting)
        run = directory / RUN_DIR
        if (run / ADAPTER_DIR).is_dir():
            shutil.rmtree(directory / ADAPTER_DIR, ignore_errors=True)
            os.replace(run / ADAPTER_DIR, directory / ADAPTER_DIR)
        write_json(directory / _RESULT_FILE, result.to_dict())
        shutil.rmtree(run, ignore_errors=True)

    def result(self, setting: Setting) -> Result | None:
        """A trial's result, if the trial is finished."""
        return self._read(setting.name)

    def results(self) -> Mapping[str, Result]:
        """All finished trials, by their setting's name."""
        for path in sorted((self.directory / TRIALS_DIR).glob(f"*/{_RESULT_FILE}")):
            self._read(path.parent.name)
        return self._results

    def _read(self, name: str) -> Result | None:
        path = self.directory / TRIALS_DIR / name / _RESULT_FILE
        if name not in self._results and path.is_file():
            record = read_json(path)
            self._results[name] = Result.from_dict(record)
        return self._results.get(name)

    def publish(self) -> None:
        """Write the results file, and keep each task and variant's best adapter.

        The other adapters are deleted.
        """
        results = self.results()
        lines = [json.dumps(results[name].to_dict()) for name in sorted(results)]
        content = "".join(f"{line}\n" for line in lines)
        write_file(self.directory / RESULTS_FILE, content)
        best: dict[tuple[str, str], Result] = {}
        for result in results.values():
            group = (result.setting.task, result.setting.variant)
            if group not in best or result.score > best[group].score:
                best[group] = result
        kept = {result.setting.name for result in best.values()}
        for name in results.keys() - kept:
            adapter = self.directory / TRIALS_DIR / name / ADAPTER_DIR
            shutil.rmtree(adapter, ignore_errors=True)
