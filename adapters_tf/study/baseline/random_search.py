"""Keras Tuner's random search, in one process."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras_tuner
import numpy as np

from adapters_tf.study.baseline.space import Hyperparameters, choose


def random_search(
    score: Callable[[Hyperparameters], float],
    embeddings: Sequence[str],
    trials: int,
    seed: int,
    directory: Path,
) -> None:
    """Score hyperparameters that Keras Tuner draws.

    What is drawn depends on the seed alone, and it is drawn anew at each call: the
    files in the directory are not read.

    Args:
        score: Called with each trial's hyperparameters; more is better. What it raises
            ends the search.
        embeddings: See `choose`.
        trials: How many to draw.
        seed: Seed of the draws.
        directory: For Keras Tuner's own files; what is in it is deleted.
    """
    # Keras Tuner adds 1 to its seed with each value that it draws, so seeds that are
    # neighbours would give almost the same trials; and 0 would be no seed at all.
    seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("score", direction="max"),
        max_trials=trials,
        seed=seed,
    )
    oracle.verbose = 0
    with _no_chief():
        tuner = _Tuner(
            oracle,
            hypermodel=lambda hp: choose(hp, embeddings),
            directory=directory.parent,
            project_name=directory.name,
            overwrite=True,
        )
        try:
            tuner.search(score)
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ or error from None


class _Tuner(keras_tuner.Tuner):
    """Keras Tuner with trials of our own, which clear no Keras session."""

    def run_trial(
        self,
        trial: keras_tuner.engine.trial.Trial,
        score: Callable[[Hyperparameters], float],
    ) -> dict[str, float]:
        try:
            return {"score": score(self.hypermodel.build(trial.hyperparameters))}
        except Exception as error:
            # Keras Tuner would note any other error as a bad trial and go on.
            raise keras_tuner.errors.FatalError(str(error)) from error


@contextlib.contextmanager
def _no_chief() -> Iterator[None]:
    """Hide the chief that this process works for, where it is a sweep's worker.

    Keras Tuner would take the trials of this search from that chief as well.
    """
    names = [name for name in os.environ if name.startswith("KERASTUNER_")]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)
