"""What the task models share: freezing, the train step, swapping adapters."""

import dataclasses
from typing import Any

import keras
import keras_hub
import tensorflow as tf

from adapters_tf.models.adapter import Adapter, check_tensors
from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.arrays import in_memory, shuffled_dataset, split_rows
from adapters_tf.models.keras_distribution import check_distribution, first_share
from adapters_tf.models.optimizer import create_optimizer
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.train_step import example_weights, train_step
from adapters_tf.models.trainable_set import Tuning, apply_trainable_set


class AdapterModel(keras_hub.models.Task):
    """A backbone with adapters and a head; base of the task models.

    A `keras_hub.models.Task`: `fit`, `evaluate` and `predict` take strings
    (preprocessed on the fly) or preprocessed tensors, with Keras's progress
    bar and callbacks. Only `trainable_set(model, tuning)` is trained, also
    after `keras.saving.load_model`, since `tuning` is part of the config.

    Args:
        inputs: The functional model's inputs.
        outputs: Its outputs.
        backbone: The `AdapterBackbone`.
        head: The head's layers that have variables.
        preprocessor: The keras-hub preprocessor, or `None` to take tensors.
        tuning: The tuning method.
        reads_pooler: Whether the head reads the backbone's pooled output.
        **kwargs: As `keras_hub.models.Task`.
    """

    kind: str
    default_loss: type[keras.losses.Loss]

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        *,
        backbone: AdapterBackbone,
        head: list[keras.layers.Layer],
        preprocessor: Any,
        tuning: Tuning,
        reads_pooler: bool,
        **kwargs: Any,
    ) -> None:
        self.backbone = backbone
        self.preprocessor = preprocessor
        kwargs.pop("compile", None)
        super().__init__(inputs=inputs, outputs=outputs, compile=False, **kwargs)
        self.tuning = tuning
        self.reads_pooler = reads_pooler
        self._head = head
        apply_trainable_set(self, tuning)
        self.compile()

    def head_variables(self) -> list[keras.Variable]:
        """The variables of the head."""
        return [v for layer in self._head for v in layer.weights]

    def compile(
        self,
        optimizer: Any = "auto",
        loss: Any = "auto",
        metrics: Any = "auto",
        *,
        seed: int = 0,
        clip_norm: float | None = 1.0,
        **kwargs: Any,
    ) -> None:
        """Configure training; every argument has the reference's default.

        Args:
            optimizer: A Keras optimizer; by default AdamW as in the reference
                at a constant rate of 1e-3.
            loss: A Keras loss with one value per example; by default the
                head's own.
            metrics: Keras metrics; by default the head's own.
            seed: Seed of the dropout masks in `fit`.
            clip_norm: Clip the gradients' global norm to this, or `None`.
            **kwargs: As `keras.Model.compile`. `jit_compile` is off by
                default: lengths differ from batch to batch.
        """
        if optimizer == "auto":
            optimizer = create_optimizer(self.trainable_variables, 1e-3)
        if loss == "auto":
            loss = self.default_loss()
        if metrics == "auto":
            metrics = self.default_metrics()
        kwargs.setdefault("jit_compile", False)
        loss = keras.losses.get(loss)
        if not isinstance(loss, keras.losses.Loss):
            raise ValueError(
                "loss must be a keras.losses.Loss, which has a value per example. "
                f"Received: loss={loss}"
            )
        self.example_loss = loss
        self.seed = seed
        self.clip_norm = clip_norm
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def get_compile_config(self) -> dict[str, Any]:
        own = {"seed": self.seed, "clip_norm": self.clip_norm}
        return {**super().get_compile_config(), **own}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def default_metrics(self) -> list[keras.metrics.Metric]:
        """Metrics that `compile` sets by default."""
        return []

    def example_losses(self, y: Any, outputs: Any) -> Any:
        """`[batch]` float32 losses, one for each example."""
        losses = tf.cast(self.example_loss.call(y, outputs), tf.float32)
        return tf.reduce_mean(tf.reshape(losses, [tf.shape(losses)[0], -1]), axis=1)

    def preprocess_samples(self, x: Any, y: Any = None, sample_weight: Any = None):
        """Strings to tensors, padded to the batch's longest; tensors unchanged."""
        if isinstance(x, dict) and "token_ids" in x:
            return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        if self.preprocessor is not None:
            x = preprocess_texts(self.preprocessor, x)
            rows = tf.cast(x["padding_mask"], tf.int32)
            longest = tf.reduce_max(tf.reduce_sum(rows, axis=-1))
            # As integers: Keras adds up a batch of each replica to learn its form,
            # and there is no sum of booleans.
            x = {n: tf.cast(v[..., :longest], tf.int32) for n, v in x.items()}
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def expand_rows(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Rows in memory as the rows that batches are made of: the same ones.

        Overridden where one row that is given becomes several.
        """
        return x, y, sample_weight

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        sample_weight: Any = None,
        validation_data: Any = None,
        validation_split: float | None = None,
        shuffle: bool = True,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """As `keras.Model.fit`, on strings or tensors in memory or a dataset.

        Rows in memory are shuffled in each epoch, in an order that follows from
        the seed of `compile`; datasets are taken as they come.

        Raises:
            ValueError: as `check_distribution`.
        """
        check_distribution(self)
        if in_memory(x):
            if validation_split:
                rows = (x, y, sample_weight)
                rows, validation_data = split_rows(rows, validation_split)
                x, y, sample_weight = rows
            x, y, sample_weight = self.expand_rows(x, y, sample_weight)
            if shuffle:
                x = shuffled_dataset((x, y, sample_weight), batch_size, self.seed)
                y = batch_size = sample_weight = None
        if in_memory(validation_data):
            rows = keras.utils.unpack_x_y_sample_weight(validation_data)
            validation_data = self.expand_rows(*rows)
        return super().fit(
            x=x,
            y=y,
            batch_size=batch_size,
            sample_weight=sample_weight,
            validation_data=validation_data,
            shuffle=False,
            **kwargs,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """As `keras.Model.evaluate`, on strings or tensors in memory or a dataset."""
        check_distribution(self)
        if in_memory(x):
            x, y, sample_weight = self.expand_rows(x, y, sample_weight)
        return super().evaluate(
            x=x, y=y, batch_size=batch_size, sample_weight=sample_weight, **kwargs
        )

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> Any:
        """As `keras.Model.predict`, on strings or tensors in memory or a dataset."""
        check_distribution(self)
        return super().predict(x, batch_size=batch_size, **kwargs)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None):
        # Keras's own adds up the replicas' shares of a batch to learn its form,
        # which fails where one has fewer rows.
        strategy = self.distribute_strategy
        if iterator is not None and strategy.num_replicas_in_sync > 1:
            iterator, data_batch = None, first_share(strategy, iterator)
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        outputs, loss_sum, weight_sum = train_step(
            self,
            x,
            y,
            weight,
            seed=self.seed,
            step=self.optimizer.iterations.value,
            clip_norm=self.clip_norm,
        )
        self._update_loss(loss_sum, weight_sum)
        return self.compute_metrics(x, y, outputs, sample_weight=weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        outputs = self(x, training=False)
        losses = self.example_losses(y, outputs)
        weights = example_weights(weight, tf.shape(losses)[0])
        self._update_loss(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))
        return self.compute_metrics(x, y, outputs, sample_weight=weight)

    def _update_loss(self, loss_sum: Any, weight_sum: Any) -> None:
        for metric in self.metrics:
            if metric.name == "loss":
                mean = tf.math.divide_no_nan(loss_sum, weight_sum)
                metric.update_state(mean, sample_weight=weight_sum)

    def get_adapter(self, **about: Any) -> Adapter:
        """A copy of what this task trained, apart from the base.

        Args:
            **about: Fields of `Adapter` that the model does not know, such as
                `task`, `metrics`, `preset`.
        """
        return Adapter(
            tensors={
                v.path: v.numpy().astype("float32") for v in self.trainable_variables
            },
            kind=self.kind,
            adapter=self.backbone.adapter,
            tuning=self.tuning,
            head=self.head_config(),
            base_fingerprint=self.backbone.fingerprint,
            **about,
        )

    def set_adapter(self, adapter: Adapter) -> None:
        """Make this live model compute another task, without a retrace.

        Every tensor that any task of this tuning method has trained is
        overwritten, so nothing of the previous task remains.

        Args:
            adapter: From `get_adapter` or `load_adapter`.

        Raises:
            AdapterFileError: if the adapter is for another base, another
                configuration, tuning method or head, or has a tensor that is
                missing, not known or of another shape. The model is unchanged.
        """
        expected = self.get_config_of_adapter()
        adapter.check_fits(expected)
        variables = {v.path: v for v in self.trainable_variables}
        check_tensors(
            adapter.tensors, {k: tuple(v.shape) for k, v in variables.items()}
        )
        for path, variable in variables.items():
            variable.assign(adapter.tensors[path])

    def get_config_of_adapter(self) -> dict[str, Any]:
        """What an adapter must have been made with to fit this model."""
        return {
            "kind": self.kind,
            "adapter": self.backbone.adapter,
            "tuning": self.tuning,
            "head": self.head_config(),
            "base_fingerprint": self.backbone.fingerprint,
        }

    def head_config(self) -> dict[str, Any]:
        """The head's constructor arguments, as JSON values."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        tuning = dataclasses.asdict(self.tuning)
        return {**super().get_config(), **self.head_config(), "tuning": tuning}


@keras.saving.register_keras_serializable(package="adapters_tf")
class FixedFeatures(keras.layers.Layer):
    """A backbone that computes as in inference, in training too.

    A layer of its own, since a functional model passes its own `training` on to
    its layers, over what they were connected with.

    Args:
        backbone: The backbone.
        **kwargs: As `keras.layers.Layer`.
    """

    def __init__(self, backbone: AdapterBackbone, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.backbone = backbone

    def call(self, inputs: Any) -> Any:
        return self.backbone(inputs, training=False)

    def compute_output_spec(self, inputs: Any) -> Any:
        return self.backbone.compute_output_spec(inputs)


def encode(backbone: AdapterBackbone, inputs: Any, tuning: Tuning) -> dict[str, Any]:
    """The backbone's outputs, as the tuning method reads them.

    Feature-based transfer (`"head"`) reads fixed features: without dropout
    below the head, in training too.
    """
    if tuning.method == "head":
        return FixedFeatures(backbone, dtype=backbone.dtype_policy)(inputs)
    return backbone(inputs)
