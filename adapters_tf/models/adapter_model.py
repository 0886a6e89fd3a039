"""What the task models share: freezing, the loss, swapping adapters."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from adapters_tf.errors import DataError
from adapters_tf.models.adapter import Adapter, check_tensors
from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.arrays import in_memory, split_rows
from adapters_tf.models.backend_task import BackendTask
from adapters_tf.models.fingerprint import backbone_name
from adapters_tf.models.optimizer import create_optimizer
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.trainable_set import Tuning, apply_trainable_set


class AdapterModel(BackendTask):
    """A backbone with adapters and a head; base of the task models.

    A `keras_hub.models.Task`: `fit`, `evaluate` and `predict` take strings
    (preprocessed on the fly) or preprocessed tensors, with Keras's progress
    bar and callbacks. Only `trainable_set(model, tuning)` is trained, also
    after `keras.saving.load_model`, since `tuning` is part of the config.

    Args:
        inputs: The functional model's inputs.
        encoded: The backbone's outputs for them.
        outputs: Its outputs.
        backbone: The `AdapterBackbone`.
        head: The head's layers that have variables.
        preprocessor: The keras-hub preprocessor, or `None` to take tensors.
        tuning: The tuning method.
        reads_pooler: Whether the head reads the backbone's pooled output.
        **kwargs: As `keras_hub.models.Task`.
    """

    kind: str
    default_loss: Callable[[], keras.losses.Loss]

    def __init__(
        self,
        inputs: Any,
        encoded: dict[str, Any],
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
        self.encoded = encoded
        self._head = head
        apply_trainable_set(self, tuning)
        self.compile()

    def head_variables(self) -> list[keras.Variable]:
        """The variables of the head."""
        return [v for layer in self._head for v in layer.weights]

    def task_layers(self) -> list[keras.layers.Layer]:
        """What a task adds to the base: the adapters, then the head's layers."""
        return [*self.backbone.adapter_layers(), *self._head]

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
                default on TensorFlow, where lengths differ from batch to batch.
        """
        if optimizer == "auto":
            optimizer = create_optimizer(self.trainable_variables, 1e-3)
        if loss == "auto":
            loss = self.default_loss()
        if metrics == "auto":
            metrics = self.default_metrics()
        kwargs.setdefault("jit_compile", self.jit_default)
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
        losses = ops.cast(self.example_loss.call(y, outputs), "float32")
        return ops.mean(ops.reshape(losses, (ops.shape(losses)[0], -1)), axis=1)

    def update_loss(self, loss_sum: Any, weight_sum: Any) -> None:
        """Add a batch to the mean loss that Keras reports.

        Args:
            loss_sum: Float32 sum of the examples' losses, each times its weight.
            weight_sum: Float32 sum of the weights.
        """
        for metric in self.metrics:
            if metric.name == "loss":
                mean = ops.divide_no_nan(loss_sum, weight_sum)
                metric.update_state(mean, sample_weight=weight_sum)

    def preprocess_samples(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> Any:
        """Strings to tensors, padded to the batch's longest; tensors unchanged."""
        if isinstance(x, dict) and "token_ids" in x:
            self._check_inputs(x)
            return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        if self.preprocessor is not None:
            x = self.without_padding(preprocess_texts(self.preprocessor, x))
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def _check_inputs(self, x: dict[str, Any]) -> None:
        # Keras warns of another dictionary, and takes its values in their order.
        if set(x) != set(self.input):
            raise DataError(
                f"The base reads {', '.join(sorted(self.input))}. Received: tensors "
                f"{', '.join(sorted(x))}"
            )

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
            ValueError: where Keras is wrong on several devices; see
                `check_distribution`.
        """
        self.get_ready()
        if in_memory(x):
            if validation_split:
                rows = (x, y, sample_weight)
                rows, validation_data = split_rows(rows, validation_split)
                x, y, sample_weight = rows
            x, y, sample_weight = self.expand_rows(x, y, sample_weight)
            if shuffle:
                x = self.shuffled((x, y, sample_weight), batch_size)
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
        self.get_ready()
        if in_memory(x):
            x, y, sample_weight = self.expand_rows(x, y, sample_weight)
        return super().evaluate(
            x=x, y=y, batch_size=batch_size, sample_weight=sample_weight, **kwargs
        )

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> Any:
        """As `keras.Model.predict`, on strings or tensors in memory or a dataset."""
        self.get_ready()
        return super().predict(x, batch_size=batch_size, **kwargs)

    def get_adapter(self, **about: Any) -> Adapter:
        """A copy of what this task trained, apart from the base.

        Args:
            **about: Fields of `Adapter` that the model does not know, such as
                `task`, `metrics`, `preset`; `seq_length` is by default that of the
                preprocessor, where the model has one.
        """
        if self.preprocessor is not None:
            about.setdefault("seq_length", self.preprocessor.sequence_length)
        return Adapter(
            tensors={
                v.path: v.numpy().astype("float32") for v in self.trainable_variables
            },
            kind=self.kind,
            adapter=self.backbone.adapter,
            tuning=self.tuning,
            head=self.head_config(),
            base_fingerprint=self.backbone.fingerprint,
            backbone=backbone_name(self.backbone),
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
            "backbone": backbone_name(self.backbone),
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
