"""How SavedModels are written: the base's weights in a shard of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

# Of the functions and configs of base and adapter SavedModels.
FORMAT_VERSION = 1
# Attributes that hold a base's variables, in a base and in a servable.
BASE_ATTRIBUTES = ("variables", "trainable_variables", "base_variables")
# The base's shard, the first of two: the same bytes wherever the base is.
BASE_SHARD = "variables/variables.data-00000-of-00002"


class _BaseInFirstShard(tf.train.experimental.ShardingCallback):
    """The base's tensors in the first shard, all others in the second."""

    @property
    def description(self) -> str:
        return "The base's tensors in a shard of their own."

    def __call__(
        self, shardable_tensors: Sequence[tf.train.experimental.ShardableTensor]
    ) -> list[dict[str, Any]]:
        shards: list[dict[str, Any]] = [{}, {}]
        for item in shardable_tensors:
            key = item.checkpoint_key
            shard = shards[0 if key.split("/")[0] in BASE_ATTRIBUTES else 1]
            shard.setdefault(key, {})[item.slice_spec] = item.tensor
        return shards


def save_with_base_shard(root: Any, directory: Path, signatures: Any = None) -> None:
    """`tf.saved_model.save`, with the base's variables in `BASE_SHARD`.

    Args:
        root: A trackable object; attributes named in `BASE_ATTRIBUTES` hold the
            base's variables.
        directory: Where to.
        signatures: As `tf.saved_model.save`.
    """
    options = tf.saved_model.SaveOptions(
        experimental_sharding_callback=_BaseInFirstShard()
    )
    tf.saved_model.save(root, str(directory), signatures=signatures, options=options)


def constant_function(value: Any) -> Any:
    """A traced function without arguments that returns `value`."""
    constant = tf.constant(value)
    return tf.function(lambda: tf.identity(constant), input_signature=[])
