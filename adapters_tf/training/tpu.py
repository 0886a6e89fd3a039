"""Connecting to a TPU, or saying in time that there is none."""

import threading

import tensorflow as tf
from official.common import distribute_utils

from adapters_tf.errors import UserError

CONNECT_SECONDS = 120.0


def connect_to_tpu(
    address: str, seconds: float = CONNECT_SECONDS
) -> tf.distribute.cluster_resolver.TPUClusterResolver:
    """Find a TPU and initialise it, which empties its memory.

    Args:
        address: `"local"` on a Cloud TPU VM, else the TPU's name or its
            `grpc://host:port`.
        seconds: How long it may take: TensorFlow itself waits forever for an
            address where nobody answers.

    Raises:
        UserError: if there is no TPU, or no answer in time.
    """
    if not address:
        raise UserError(
            "A TPU has a name, an address grpc://host:port, or is 'local', on a Cloud "
            "TPU VM. Received: no --tpu"
        )
    found: list[tf.distribute.cluster_resolver.TPUClusterResolver] = []
    failed: list[Exception] = []

    def connect() -> None:
        try:
            found.append(distribute_utils.tpu_initialize(address))
        except Exception as error:
            # The resolver, the Cloud API and the runtime each have errors of their own.
            failed.append(error)

    # A daemon: nothing can stop a call that waits inside TensorFlow.
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
