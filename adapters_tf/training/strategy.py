"""The distribution strategy of a name, and what differs from one to another."""

import json
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from official.common import distribute_utils

from adapters_tf.errors import UserError
from adapters_tf.training.meeting import meet_workers
from adapters_tf.training.tpu import connect_to_tpu

STRATEGIES = ("off", "one_device", "mirrored", "multi_worker_mirrored", "tpu")
_EXAMPLE = (
    'TF_CONFIG=\'{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}\''
)


def get_strategy(name: str, tpu: str = "local") -> tf.distribute.Strategy:
    """The strategy.

    Make it before anything else of TensorFlow runs: several workers can only meet
    at a program's start.

    Args:
        name: `"off"` (TensorFlow's default placement), `"one_device"` (the first
            GPU if there is one, else the CPU), `"mirrored"` (all GPUs of this
            machine, or its CPU), `"multi_worker_mirrored"` (all devices of the
            machines in the environment variable `TF_CONFIG`) or `"tpu"`.
        tpu: The TPU's name or address, or `"local"` on a Cloud TPU VM; with
            `"tpu"` only.

    Raises:
        UserError: if the name is another, there is no such TPU, or `TF_CONFIG` is
            not that of a worker.
        TryAgain: if a worker does not start within ten minutes.
    """
    if name not in STRATEGIES:
        raise UserError(
            f"distribution_strategy must be one of {', '.join(STRATEGIES)}. Received: "
            f"{name!r}"
        )
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker_mirrored":
        meet_workers(*_addresses())
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        return tf.distribute.TPUStrategy(connect_to_tpu(tpu))
    num_gpus = min(1, len(tf.config.list_physical_devices("GPU")))
    return distribute_utils.get_distribution_strategy(name, num_gpus=num_gpus)


def _addresses() -> tuple[list[str], str]:
    """Of all workers, and of this one, from `TF_CONFIG`."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text or "{}")
        workers = [*config["cluster"].get("chief", []), *config["cluster"]["worker"]]
        task = config["task"]
        own = config["cluster"][task["type"]][int(task["index"])]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(
            "Each worker of multi_worker_mirrored needs the environment variable "
            "TF_CONFIG, with the addresses of all workers and its own place among "
            f"them. Received: {text or 'none'}. Such as: {_EXAMPLE}"
        ) from error
    if task["type"] not in ("chief", "worker"):
        raise UserError(
            "TF_CONFIG's task must be a worker, or the chief. Received: "
            f"{task['type']!r}. Such as: {_EXAMPLE}"
        )
    return workers, own


def is_tpu(strategy: tf.distribute.Strategy) -> bool:
    """Whether the steps run on TPUs, which take one shape only."""
    return isinstance(
        strategy, tf.distribute.TPUStrategy | tf.distribute.experimental.TPUStrategy
    )


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """How many processes train together."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    cluster = strategy.cluster_resolver.cluster_spec()
    return sum(cluster.num_tasks(job) for job in cluster.jobs if job != "evaluator")


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes and prints."""
    if num_workers(strategy) == 1:
        return True
    resolver = strategy.cluster_resolver
    if resolver.task_type == "chief":
        return True
    return resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs


def per_replica(strategy: tf.distribute.Strategy, make: Callable[[int], Any]) -> Any:
    """Values for `strategy.run`, one for each replica of this process.

    Args:
        strategy: The strategy.
        make: From a replica's number to its tensors or arrays.
    """

    def value(context: Any) -> Any:
        made = make(context.replica_id_in_sync_group)
        return tf.nest.map_structure(tf.convert_to_tensor, made)

    return strategy.experimental_distribute_values_from_function(value)


def sum_over_workers(strategy: tf.distribute.Strategy, value: float) -> float:
    """The sum of a number over the processes; all must call it.

    It returns when all have called it, so it is a barrier as well.
    """
    if num_workers(strategy) == 1:
        return value
    # On the first replica of each: a part on every one would not add up exactly.
    mine = strategy.num_replicas_in_sync // num_workers(strategy)
    values = per_replica(
        strategy,
        lambda replica: tf.constant(0.0 if replica % mine else value, tf.float64),
    )
    return float(strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))
