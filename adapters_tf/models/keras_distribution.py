"""Check that Keras's `fit` gives correct results on several devices."""

from typing import Any

import keras
import tensorflow as tf

_INSTEAD = "adapters-tf-train (AdapterTrainer in Python) trains there."


def check_distribution(model: keras.Model) -> None:
    """Reject setups that Keras 3 does not support correctly under `tf.distribute`.

    One device and `MirroredStrategy` are correct, with batches of any size.

    Args:
        model: A compiled model.

    Raises:
        ValueError: if the model was built in the scope of another strategy, or is
            compiled for several replicas with XLA or several steps per execution.
    """
    strategy = model.distribute_strategy
    if isinstance(
        strategy,
        tf.distribute.MultiWorkerMirroredStrategy
        | tf.distribute.experimental.ParameterServerStrategy
        | tf.distribute.TPUStrategy,
    ):
        raise ValueError(
            "Keras's fit, evaluate and predict are for models on one device or of a "
            f"MirroredStrategy. Received: a model of a {type(strategy).__name__}. "
            f"{_INSTEAD}"
        )
    if strategy.num_replicas_in_sync == 1:
        return
    if model.jit_compile:
        raise ValueError(
            "Keras cannot compile a step of several replicas with XLA. Received: "
            f"jit_compile=True with {strategy.num_replicas_in_sync} replicas. "
            f"Compile with jit_compile=False; or {_INSTEAD}"
        )
    if model.steps_per_execution != 1:
        raise ValueError(
            "Keras cannot run several steps of several replicas at once. Received: "
            f"steps_per_execution={model.steps_per_execution} with "
            f"{strategy.num_replicas_in_sync} replicas. Compile with "
            f"steps_per_execution=1; or {_INSTEAD}"
        )


def first_share(strategy: tf.distribute.Strategy, iterator: Any) -> Any:
    """Return the first replica's share of the first batch.

    Args:
        strategy: The strategy.
        iterator: Keras's epoch iterator.
    """
    for _, _, batches in iterator:
        return tf.nest.map_structure(
            lambda value: strategy.experimental_local_results(value)[0], next(batches)
        )
