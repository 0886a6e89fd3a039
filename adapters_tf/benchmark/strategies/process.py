"""Trains a few steps on one strategy, in a process of its own.

`python -m adapters_tf.benchmark.strategies.process SPEC OUTPUT.npz` where SPEC is a
JSON object with the fields of `Spec`. Several workers are started with `TF_CONFIG`;
the first one writes.
"""

import dataclasses
import json
import os
import sys
from typing import Any

import numpy as np

from adapters_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Spec:
    """One run.

    Attributes:
        strategy: See `get_strategy`.
        devices: Virtual devices that the processor is divided into.
        precision: `"float32"` or `"mixed_bfloat16"`.
        jit_compile: Whether XLA compiles the step.
        preset: The base; see `resolve_preset`.
        steps_per_loop: Steps between two returns to Python.
        bottleneck_dim: Units of the adapters.
        top_layers: Adapters in so many of the top blocks only; 0 for all blocks.
        cache: Where the hidden states under them are kept; see `CacheConfig`.
    """

    strategy: str = "one_device"
    devices: int = 1
    precision: str = "float32"
    jit_compile: bool = False
    preset: str = "demo"
    steps_per_loop: int = 4
    bottleneck_dim: int = 64
    top_layers: int = 0
    cache: str = "off"


# Each epoch ends in a batch that no number of replicas but one divides.
ROWS = 45
BATCH = 16
EPOCHS = 4
# All rows are cut to it: with XLA, rows are padded to multiples of 32, and dropout
# depends on the padded length.
LENGTH = 32


def main(spec: Spec, output: str) -> None:
    """Train, predict, and write the weights and outputs."""
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    if spec.devices > 1:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * spec.devices
        )
    from adapters_tf.training.devices import get_strategy
    from adapters_tf.training.workers import is_chief

    strategy = get_strategy(spec.strategy)
    with strategy.scope():
        arrays = _train(spec)
    if is_chief(strategy):
        np.savez(output, **arrays)


def _train(spec: Spec) -> dict[str, Any]:
    import tensorflow as tf

    from adapters_tf.adapters import AdapterConfig
    from adapters_tf.benchmark.texts import SENTENCES
    from adapters_tf.data.examples import Examples
    from adapters_tf.models.frozen_prefix import FrozenPrefix
    from adapters_tf.models.task import Task
    from adapters_tf.tasks.kinds import kind_named
    from adapters_tf.training.config import TrainConfig, TrainJob
    from adapters_tf.training.model_pool import build_task_model
    from adapters_tf.training.predict import Predictor
    from adapters_tf.training.prefix_cache.cache import CacheConfig, PrefixCache
    from adapters_tf.training.trainer import AdapterTrainer

    config = TrainConfig(
        epochs=EPOCHS, batch_size=BATCH, seed=3, jit_compile=spec.jit_compile
    )
    job = TrainJob(
        preset=spec.preset,
        adapter=AdapterConfig(
            bottleneck_dim=spec.bottleneck_dim,
            layers=tuple(range(-spec.top_layers, 0)) or None,
        ),
        seq_length=LENGTH,
        precision=spec.precision,
        config=config,
    )
    # Three sentences are long enough to be cut.
    triples = zip(SENTENCES, SENTENCES[1:], SENTENCES[2:], strict=False)
    texts = [" ".join(triple) for triple in triples]
    labels = np.array([i % 3 for i in range(ROWS)], np.int32)
    rows = Examples((texts[:ROWS],), labels)
    task = Task("rows", "classification", ("text",), ("a", "b", "c"))
    model = build_task_model(job, task)
    tokens = kind_named(model.kind).prepare(rows, model.preprocessor).tokens
    cache = PrefixCache(CacheConfig(spec.cache))
    (features,) = cache.rows(FrozenPrefix.of(model), [tokens], EPOCHS)
    trainer = AdapterTrainer(model, features, config)
    losses = []
    for start in range(0, trainer.total_steps, spec.steps_per_loop):
        steps = min(spec.steps_per_loop, trainer.total_steps - start)
        losses.append(trainer.train(tf.constant(steps))["loss"])
    outputs = np.stack(Predictor(model, batch_size=7)(features))
    weights = {v.path: v.numpy() for v in model.trainable_variables}
    return {"losses": np.array(losses), "outputs": outputs, **weights}


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        main(Spec(**json.loads(sys.argv[1])), sys.argv[2])
    except UserError as error:
        sys.exit(str(error))
