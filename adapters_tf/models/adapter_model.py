"""The base class of the task models: a backbone, adapters, a head and `fit`."""

import dataclasses
import types
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import keras
from keras import ops

from adapters_tf.adapters import AdapterMethod
from adapters_tf.errors import UserError
from adapters_tf.models.adapter_backbone import AdapterBackbone, check_backbone
from adapters_tf.models.fit_rows import FitOnRows
from adapters_tf.models.loss_argument import fitting_metrics, read_loss
from adapters_tf.models.optimizer import create_optimizer
from adapters_tf.models.task import FACTS, KindFacts
from adapters_tf.models.task_presets import load_task
from adapters_tf.models.task_record import check_labels, check_text_columns
from adapters_tf.models.trainable_set import Tuning, apply_trainable_set, check_layers


@keras.saving.register_keras_serializable(package="adapters_tf")
class StepSettings:
    """The arguments of `compile` that plain Keras models lack.

    Only task models read them; another model that is given them is a faulty copy.

    Args:
        **settings: Their values.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def get_config(self) -> dict[str, Any]:
        """Return the values by name."""
        return self.settings

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Refuse.

        Raises:
            UserError: always; names how to copy a model.
        """
        raise UserError(
            "Only a task model can be compiled as one. Received: a plain Keras model "
            "with its settings, as keras.models.clone_model makes it, which would "
            "train the whole base. copy.deepcopy(model) copies a task model"
        )


class AdapterModel(FitOnRows):
    """A backbone with adapters and a head; the base class of the task models.

    A `keras_hub.models.Task`: `fit`, `evaluate` and `predict` take strings
    (preprocessed on the fly) or preprocessed tensors, with Keras's progress
    bar and callbacks. They train only `trainable_set(model, tuning)`, also
    after `keras.saving.load_model`, since `tuning` is part of the config.

    Args:
        inputs: The functional model's inputs.
        encoded: The backbone's outputs for these inputs.
        outputs: The model's outputs.
        backbone: The `AdapterBackbone`. Only one live model at a time can use it; add
            more tasks with `add_adapter`.
        head: The head's layers that have variables.
        preprocessor: The keras-hub preprocessor, or `None` to take tensors.
        tuning: The tuning method.
        reads_pooler: Whether the head reads the backbone's pooled output.
        labels: Names of the classes in the order of their indices; `None` to learn
            them from the strings that `fit` is given.
        text_columns: Names of the columns of texts; `None` to learn them from the
            table or dictionary that `fit` is given.
        preset: Where `load_model` can load the base from.
        **kwargs: As `keras_hub.models.Task`.

    Raises:
        UserError: if the backbone is not an `AdapterBackbone`, or another live model
            uses it.
        DataError: if the number of labels differs from the number of classes.
    """

    kind: str
    facts: ClassVar[KindFacts] = KindFacts()
    default_loss: Callable[[], keras.losses.Loss]
    kinds: ClassVar[dict[str, type["AdapterModel"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in vars(cls):
            AdapterModel.kinds[cls.kind] = cls
            FACTS[cls.kind] = cls.facts

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
        labels: Sequence[str] | None = None,
        text_columns: Sequence[str] | None = None,
        preset: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_backbone(backbone)
        if not (preprocessor is None or callable(preprocessor)):
            raise UserError(
                "preprocessor must be one of keras-hub, such as load_preprocessor "
                f"loads, or None. Received: preprocessor={preprocessor!r}"
            )
        self.backbone = backbone
        self.preprocessor = preprocessor
        kwargs.pop("compile", None)
        unknown = sorted(set(kwargs) - {"name", "trainable"})
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has other arguments. Received: "
                f"{', '.join(unknown)}"
            )
        super().__init__(inputs=inputs, outputs=outputs, compile=False, **kwargs)
        self.tuning = tuning
        self.reads_pooler = reads_pooler
        self.encoded = encoded
        self._head = head
        num_classes = self.head_config().get("num_classes", 0)
        self.labels = check_labels(() if labels is None else labels, num_classes)
        self.text_columns = check_text_columns(text_columns)
        self.preset = preset
        apply_trainable_set(self, tuning)
        self.start_tasks()
        self.compile()

    @classmethod
    def from_preset(
        cls,
        preset: str,
        load_weights: bool = True,
        *,
        adapter: AdapterMethod | None = None,
        tuning: Tuning | str = "adapters",
        seq_length: int | None = None,
        labels: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Build a model of this class on a pretrained base.

        ```python
        model = adapters_tf.AdapterTextClassifier.from_preset("demo", num_classes=2)
        ```

        If the preset is a directory written by a task model's `save_to_preset`, its
        trained head and adapters are loaded too, unless you give arguments of another
        head.

        Args:
            preset: A keras-hub preset name, a handle (`hf://`, `kaggle://`), a
                directory in Hugging Face's or keras-hub's format, or `"demo"`.
            load_weights: `False` for random weights.
            adapter: The adapters; by default those of the preset, or the paper's if
                `tuning` trains adapters.
            tuning: What to train; see `Tuning`.
            seq_length: Longest input in tokens, 128 by default; longer texts are cut.
            labels: Names of the classes; they also give `num_classes`.
            **kwargs: The head's arguments, such as `num_classes`; `backbone` or
                `preprocessor` of your own; `dtype`.

        Raises:
            UserError: if the preset cannot be loaded, or does not fit the arguments.
        """
        if not hasattr(cls, "kind"):
            known = ", ".join(sorted(c.__name__ for c in cls.kinds.values()))
            raise UserError(
                f"from_preset is called on a kind of task: {known}. Received: a call "
                f"on {cls.__name__}"
            )
        return load_task(
            cls,
            preset,
            load_weights,
            adapter=adapter,
            tuning=tuning,
            seq_length=seq_length,
            labels=labels,
            **kwargs,
        )

    def head_variables(self) -> list[keras.Variable]:
        """Return the variables of the head."""
        return [v for layer in self._head for v in layer.weights]

    def task_layers(self) -> list[keras.layers.Layer]:
        """Return the layers a task adds to the base: adapters, then the head's."""
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
        """Configure training; the defaults follow the paper's reference code.

        Args:
            optimizer: A Keras optimizer; by default AdamW as in the reference
                at a constant rate of 1e-3.
            loss: A Keras loss on logits, its name, or a function that returns one value
                per example; by default the head's own.
            metrics: Keras metrics; by default the head's own.
            seed: Seed of the dropout masks in `fit`.
            clip_norm: Clip the gradients' global norm to this, or `None`.
            **kwargs: As `keras.Model.compile`. `jit_compile` is off by default on
                TensorFlow, because lengths differ from batch to batch.

        Raises:
            ValueError: if the loss expects probabilities, you pass `loss_weights`,
                which have no meaning for a model with one output, or
                `steps_per_execution` is no number of steps.
        """
        # Held in an object that Keras does not track: these are not model parts.
        self.compile_arguments = types.SimpleNamespace(
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            seed=seed,
            clip_norm=clip_norm,
            **kwargs,
        )
        if isinstance(optimizer, str) and optimizer == "auto":
            optimizer = create_optimizer(self.trainable_variables, 1e-3)
        default = self.default_loss()
        loss = default if isinstance(loss, str) and loss == "auto" else read_loss(loss)
        if isinstance(metrics, str) and metrics == "auto":
            metrics = fitting_metrics(self.default_metrics(), loss)
        if kwargs.get("loss_weights") is not None:
            raise ValueError(
                "loss_weights weigh several outputs, and this model has one. Received: "
                f"loss_weights={kwargs['loss_weights']}. Weigh rows with sample_weight"
            )
        steps = kwargs.get("steps_per_execution", 1)
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(
                "steps_per_execution must be a whole number of 1 or more. Received: "
                f"steps_per_execution={steps!r}"
            )
        kwargs.setdefault("jit_compile", self.jit_default)
        self.example_loss = loss
        self.loss_reads_rows = type(loss) is not type(default)
        self.seed = seed
        self.clip_norm = clip_norm
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def get_compile_config(self) -> dict[str, Any]:
        own = StepSettings(seed=self.seed, clip_norm=self.clip_norm)
        config = keras.saving.serialize_keras_object(own)
        return {**super().get_compile_config(), "step_settings": config}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        # Earlier files hold the settings beside the others.
        own = config.get("step_settings", {}).get("config", {})
        others = {k: v for k, v in config.items() if k != "step_settings"}
        self.compile(**keras.saving.deserialize_keras_object(others), **own)
        self.optimizer.build(self.trainable_variables)

    def default_metrics(self) -> list[keras.metrics.Metric]:
        """Return the metrics that `compile` sets by default."""
        return []

    def example_losses(self, y: Any, outputs: Any) -> Any:
        """Compute `[batch]` float32 losses, one per example."""
        losses = ops.cast(self.example_loss.call(y, outputs), "float32")
        return ops.mean(ops.reshape(losses, (ops.shape(losses)[0], -1)), axis=1)

    def update_loss(self, loss_sum: Any, weight_sum: Any) -> None:
        """Add a batch to the mean loss that Keras reports.

        Args:
            loss_sum: Float32 sum of the examples' weighted losses.
            weight_sum: Float32 sum of the weights.
        """
        for metric in self.metrics:
            if metric.name == "loss":
                mean = ops.divide_no_nan(loss_sum, weight_sum)
                metric.update_state(mean, sample_weight=weight_sum)

    def head_config(self) -> dict[str, Any]:
        """Return the head's constructor arguments, as JSON values."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        check_layers(self)  # A file of changed layers could not be loaded.
        known = {
            "labels": list(self.labels),
            "text_columns": list(self.text_columns),
            "preset": self.preset,
        }
        return {
            **super().get_config(),
            **self.head_config(),
            "tuning": dataclasses.asdict(self.tuning),
            **{name: value for name, value in known.items() if value},
        }
