"""What is said when another worker of a run is gone."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from adapters_tf.errors import TryAgain
from adapters_tf.training.strategy import num_workers, sum_over_workers

_SIGNS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class WorkerLost(TryAgain):
    """Another worker died or cannot be reached."""


@contextlib.contextmanager
def lost_workers_are_named(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turn what TensorFlow raises where a worker is lost into an error for people.

    Args:
        strategy: The run's strategy; of one worker, nothing is done.

    Raises:
        WorkerLost: if a collective operation failed.
    """
    try:
        yield
        say_goodbye(strategy)
    except _SIGNS as error:
        if num_workers(strategy) == 1:
            raise
        # Under the name of the graph, each line is a device's account of it.
        lines = [line.strip() for line in str(error.message).split("\n")]
        accounts = [line for line in lines if "{{" not in line and ":" in line]
        reason = (accounts or lines)[-1][:300]
        raise WorkerLost(
            "A worker of the run was lost, or cannot be reached. Start the same "
            "command again on all workers: the run goes on from its last checkpoint. "
            f"TensorFlow says: {reason}"
        ) from error


def say_goodbye(strategy: tf.distribute.Strategy) -> None:
    """Call it last, in all workers, where all of them end in the same way.

    A worker that has the result of a collective operation may have left before
    another has it, which then fails. All have the results of those before this one,
    whose own failure means nothing.

    Args:
        strategy: The run's strategy; of one worker, nothing is done.
    """
    with contextlib.suppress(*_SIGNS):
        sum_over_workers(strategy, 1.0)
