"""The distribution strategy of a name."""

import tensorflow as tf
from official.common import distribute_utils

from adapters_tf.errors import UserError

STRATEGIES = ("off", "one_device")


def get_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy, from tf-models-official.

    Args:
        name: `"off"` (TensorFlow's default placement) or `"one_device"` (the
            first GPU if there is one, else the CPU). The train step is written
            for several replicas, but has only been run on one; other names are
            refused until they have been.

    Raises:
        UserError: if the name is another.
    """
    if name not in STRATEGIES:
        raise UserError(
            f"distribution_strategy must be one of {', '.join(STRATEGIES)}. Received: "
            f"{name!r}. Training on several devices is not part of this release."
        )
    num_gpus = min(1, len(tf.config.list_physical_devices("GPU")))
    return distribute_utils.get_distribution_strategy(name, num_gpus=num_gpus)
