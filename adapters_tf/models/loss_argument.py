"""Convert the `loss` argument of `compile` to a loss object."""

import inspect
from collections.abc import Callable
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="adapters_tf")
class FunctionLoss(keras.losses.Loss):
    """A Keras loss that calls `function(y_true, y_pred)`.

    Args:
        function: Returns a loss for each example. To save it in a `.keras` file, it
            must be Keras's own or registered with Keras.
        **kwargs: As `keras.losses.Loss`.
    """

    def __init__(self, function: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        losses = self.function(y_true, y_pred)
        if not keras.ops.ndim(losses):
            raise ValueError(
                "A loss function must return a value per example. Received: one "
                f"number, from {self.name}"
            )
        return losses

    def get_config(self) -> dict[str, Any]:
        function = keras.saving.serialize_keras_object(self.function)
        return {**super().get_config(), "function": function}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FunctionLoss":
        function = keras.saving.deserialize_keras_object(config.pop("function"))
        return cls(function, **config)


def read_loss(loss: Any) -> keras.losses.Loss:
    """Return the loss object for the `loss` argument of `compile`.

    Args:
        loss: A loss, a function, or the name of a Keras loss. A named loss with a
            `from_logits` argument is applied to logits, which the models return.

    Raises:
        ValueError: if it is not a loss, or expects probabilities; names the class to
            use.
    """
    if isinstance(loss, str):
        loss = _named_loss(loss)
    if isinstance(loss, keras.losses.Loss):
        if getattr(loss, "from_logits", True) is False:
            raise ValueError(
                "The model returns logits, so the loss must take them. Received: "
                f"{type(loss).__name__} with from_logits=False. Use "
                f"loss=keras.losses.{type(loss).__name__}(from_logits=True)"
            )
        return loss
    if inspect.isclass(loss) or not callable(loss):
        raise ValueError(
            "loss must be one keras.losses.Loss, which has a value per example, a "
            f"function, or the name of one of Keras's. Received: loss={loss}"
        )
    takes_logits = inspect.signature(loss).parameters.get("from_logits")
    if takes_logits is not None and not takes_logits.default:
        name = "".join(part.title() for part in loss.__name__.split("_"))
        raise ValueError(
            "The model returns logits, this function takes probabilities. Received: "
            f"loss={loss.__name__}. Use loss=keras.losses.{name}(from_logits=True)"
        )
    return FunctionLoss(loss, name=getattr(loss, "__name__", "function_loss"))


def _named_loss(name: str) -> Any:
    class_name = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    found = getattr(keras.losses, class_name, None)
    if inspect.isclass(found) and issubclass(found, keras.losses.Loss):
        cls: Any = found
        takes_logits = "from_logits" in inspect.signature(cls).parameters
        return cls(from_logits=True) if takes_logits else cls()
    return keras.losses.get(name)


def fitting_metrics(
    metrics: list[keras.metrics.Metric], loss: keras.losses.Loss
) -> list[keras.metrics.Metric]:
    """Adapt the default metrics to the form of labels that the loss reads.

    Args:
        metrics: The head's default metrics.
        loss: From `read_loss`.
    """
    if not reads_rows(loss):
        return metrics
    return [
        keras.metrics.CategoricalAccuracy(name=metric.name)
        if isinstance(metric, keras.metrics.SparseCategoricalAccuracy)
        else metric
        for metric in metrics
    ]


def reads_rows(loss: keras.losses.Loss) -> bool:
    """Whether a loss of Keras compares rows of numbers with the logits.

    Such a loss reads one-hot labels rather than class indices.
    """
    if isinstance(loss, FunctionLoss):
        name = loss.function.__name__ if _is_keras(loss.function) else None
    else:
        # The class itself, or that of Keras which it extends.
        own = [c for c in type(loss).__mro__ if _is_keras(c) and _is_exported(c)]
        name = own[0].__name__ if own else None
    return name is not None and "sparse" not in name.lower()


def _is_keras(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).partition(".")[0] == "keras"


def _is_exported(cls: type) -> bool:
    return cls is not keras.losses.Loss and hasattr(keras.losses, cls.__name__)
