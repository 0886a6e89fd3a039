"""The devices that a run computes on: their strategy, and each replica's rows."""

import json
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from official.common import distribute_utils

from adapters_tf.errors import UserError
from adapters_tf.training.workers import wait_for_workers

STRATEGIES = ("off", "one_device", "mirrored", "multi_worker_mirrored", "tpu")
CONNECT_SECONDS = 120.0
_EXAMPLE = (
    'TF_CONFIG=\'{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}\''
)


def get_strategy(name: str, tpu: str = "local") -> tf.distribute.Strategy:
    """Make the distribution strategy of this name.

    Call it before anything else of TensorFlow runs: workers can only connect to each
    other when a program starts.

    Args:
        name: `"off"` (TensorFlow's default placement), `"one_device"` (the first
            GPU if there is one, else the CPU), `"mirrored"` (all GPUs of this
            machine, or its CPU), `"multi_worker_mirrored"` (all devices of the
            machines in the environment variable `TF_CONFIG`) or `"tpu"`.
        tpu: For `"tpu"`: the TPU's name or address, or `"local"` on a Cloud TPU VM.

    Raises:
        UserError: There is no such strategy or TPU, or `TF_CONFIG` does not describe a
            worker.
        TryAgain: A worker does not start within ten minutes.
    """
    if name not in STRATEGIES:
        raise UserError(
            f"distribution_strategy must be one of {', '.join(STRATEGIES)}. Received: "
            f"{name!r}"
        )
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker_mirrored":
        wait_for_workers(*_worker_addresses())
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        return tf.distribute.TPUStrategy(connect_to_tpu(tpu))
    num_gpus = min(1, len(tf.config.list_physical_devices("GPU")))
    return distribute_utils.get_distribution_strategy(name, num_gpus=num_gpus)


def _worker_addresses() -> tuple[list[str], str]:
    """The addresses of all workers, and of this one, from `TF_CONFIG`."""
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
    """Whether the steps run on TPUs, which take batches of one shape only."""
    return isinstance(
        strategy, tf.distribute.TPUStrategy | tf.distribute.experimental.TPUStrategy
    )


def connect_to_tpu(
    address: str, seconds: float = CONNECT_SECONDS
) -> tf.distribute.cluster_resolver.TPUClusterResolver:
    """Find a TPU and initialise it, which empties its memory.

    Args:
        address: `"local"` on a Cloud TPU VM, else the TPU's name or its
            `grpc://host:port`.
        seconds: How long to wait. TensorFlow itself waits forever for an address that
            does not answer.

    Raises:
        UserError: There is no TPU, or it does not answer in time.
    """
    if not address:
        raise UserError(
            "--tpu must be a TPU's name, its address grpc://host:port, or 'local' on a "
            "Cloud TPU VM. Received: no --tpu"
        )
    found: list[tf.distribute.cluster_resolver.TPUClusterResolver] = []
    failed: list[Exception] = []

    def connect() -> None:
        try:
            found.append(distribute_utils.tpu_initialize(address))
        except Exception as error:
            # The resolver, the Cloud API and the runtime each raise types of their own.
            failed.append(error)

    # A daemon thread: nothing can interrupt a call that waits inside TensorFlow.
    thread = threading.Thread(target=connect, daemon=True, name="tpu")
    thread.start()
    thread.join(seconds)
    if found:
        return found[0]
    if failed:
        where = "on this machine" if address == "local" else f"at {address!r}"
        reason = str(failed[0]).strip().split("\n")[0][:300]
        raise UserError(
            f"No TPU was found {where}: {type(failed[0]).__name__}: {reason}. "
            "TPUs need a Cloud TPU VM (--tpu=local there), or a name that the Cloud "
            "API knows, and TensorFlow's TPU build."
        ) from failed[0]
    raise UserError(
        f"The TPU at {address!r} did not answer within {seconds:.0f} seconds. Is it "
        "running, and can this machine reach it?"
    )


def per_replica(strategy: tf.distribute.Strategy, make: Callable[[int], Any]) -> Any:
    """Make a value for each replica of this process, to give to `strategy.run`.

    Args:
        strategy: The strategy.
        make: Function from a replica's number to its tensors or arrays.
    """

    def value(context: Any) -> Any:
        made = make(context.replica_id_in_sync_group)
        return tf.nest.map_structure(tf.convert_to_tensor, made)

    return strategy.experimental_distribute_values_from_function(value)


def split_rows(
    rows: np.ndarray, num_replicas: int, size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split the rows of a global batch evenly over replicas.

    Consecutive rows go to one replica. Places left over get the batch's first row with
    weight 0, so every replica has the same number of rows, all with tokens. Row `i` of
    a replica is row `replica * size + i` of the batch, as on one device.

    Args:
        rows: `[n]` row indices, at least one.
        num_replicas: Number of replicas.
        size: Rows of each replica; by default the fewest that hold all rows.

    Returns:
        `[num_replicas, size]` row indices, and float32 weights of the same shape: 1,
        or 0 for filled places.

    Raises:
        ValueError: The replicas cannot hold the rows.
    """
    size = size or -(-len(rows) // num_replicas)
    total = num_replicas * size
    if not 0 < len(rows) <= total:
        raise ValueError(
            f"{num_replicas} replicas of {size} rows must get 1 to {total} rows. "
            f"Received: {len(rows)}"
        )
    filled = np.concatenate([rows, np.repeat(rows[:1], total - len(rows))])
    weights = (np.arange(total) < len(rows)).astype(np.float32)
    shape = (num_replicas, size)
    return filled.reshape(shape), weights.reshape(shape)
