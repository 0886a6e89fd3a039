"""The sweep on Keras Tuner: its oracle hands out trials, its workers run them.

Keras Tuner provides the queue, the service between machines and the state that a
restart continues. Finished trials are those with a result on disk, so a state file
that a crash left half written costs nothing.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
from absl import logging

from adapters_tf.errors import UserError
from adapters_tf.io import read_json
from adapters_tf.study.grid import Setting
from adapters_tf.study.store import ENGINE_DIR, Store
from adapters_tf.study.sweep import Plan
from adapters_tf.study.trial import TrialRunner

_IDLE_SECONDS = 1.0


class SweepOracle(keras_tuner.Oracle):
    """Hands out the trials of a plan.

    Args:
        plan: The plan.
        store: Where finished trials are.
        on_change: Called with the names of the running trials whenever one begins or
            ends.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        on_change: Callable[[list[str]], None] = lambda running: None,
    ) -> None:
        super().__init__(objective=keras_tuner.Objective("score", "max"))
        self.verbose = 0
        self._plan = plan
        self._store = store
        self._on_change = on_change

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        running = self._running()
        setting = self._plan.next(self._store.results(), running)
        if setting is not None:
            self._on_change([*running, setting.name])
            return {"status": "RUNNING", "values": setting.to_dict()}
        # The end of a running trial may decide on the final seeds.
        return {"status": "IDLE" if running else "STOPPED"}

    @keras_tuner.synchronized
    def end_trial(self, trial: Any) -> None:
        super().end_trial(trial)
        self._store.publish()
        self._on_change(self._running())

    def _running(self) -> list[str]:
        trials = self.ongoing_trials.values()
        return [Setting(**t.hyperparameters.values).name for t in trials]


class SweepTuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Runs the trials that the oracle hands out: all of a sweep, or a worker's.

    Args:
        oracle: The oracle.
        store: Where the trials are.
        runner: Runs the trials; `None` in a chief, which runs none.
    """

    def __init__(
        self, oracle: SweepOracle, store: Store, runner: TrialRunner | None
    ) -> None:
        self._runner = runner
        self._ran = True
        engine = store.directory / ENGINE_DIR
        if is_worker():
            # A worker's state file holds nothing, but a crash may have cut it short.
            name = os.environ["KERASTUNER_TUNER_ID"]
            (engine / f"{name}.json").unlink(missing_ok=True)
        else:
            _discard_damaged_state(engine)
        super().__init__(
            oracle, directory=str(store.directory), project_name=ENGINE_DIR
        )

    def pre_create_trial(self) -> None:
        # Keras Tuner does not pause before it asks an idle oracle again.
        if not self._ran:
            time.sleep(_IDLE_SECONDS)
        self._ran = False

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        self._ran = True
        setting = Setting(**trial.hyperparameters.values)
        try:
            assert self._runner is not None
            return {"score": self._runner.run(setting).score}
        except Exception as error:
            # Keras Tuner would hide any other error and go on with the next trial.
            raise keras_tuner.errors.FatalError(setting.name) from error


def run_trials(tuner: SweepTuner) -> None:
    """Run trials until the sweep has ended.

    Raises:
        Exception: What a trial raised; its name is in the log.
    """
    try:
        tuner.search(verbose=0)
    except keras_tuner.errors.FatalError as error:
        logging.error("The trial %s failed", error)
        assert error.__cause__ is not None
        raise error.__cause__ from None


def is_worker() -> bool:
    """Whether Keras Tuner's variables make this process a worker of a chief."""
    name = os.environ.get("KERASTUNER_TUNER_ID", "")
    return "KERASTUNER_ORACLE_IP" in os.environ and "chief" not in name


def set_role(name: str, address: str) -> None:
    """Make this process the chief of a sweep, or a worker of it.

    Args:
        name: `"chief"`, or a worker's own name.
        address: `host:port` of the chief.

    Raises:
        UserError: The address has no port.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"The chief's address must be host:port. Received: {address!r}")
    os.environ["KERASTUNER_TUNER_ID"] = name
    os.environ["KERASTUNER_ORACLE_IP"] = host
    os.environ["KERASTUNER_ORACLE_PORT"] = port


def _discard_damaged_state(directory: Path) -> None:
    """Remove Keras Tuner's state if a file of it was cut short by a crash."""
    for path in directory.glob("**/*.json"):
        try:
            read_json(path)
        except ValueError:
            logging.warning("%s is damaged; the finished trials are known", path)
            shutil.rmtree(directory)
            return
