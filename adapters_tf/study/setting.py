"""What one trial of a study trains: a point of its grid."""

import dataclasses
from typing import Any

from adapters_tf.adapters import AdapterConfig
from adapters_tf.models.trainable_set import PAPER_METHODS, Tuning

NO_BERT = "no_bert"
STUDY_METHODS = (*PAPER_METHODS, NO_BERT)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One trial: a task, a tuning method and its hyperparameters.

    Attributes:
        task: Name of the task.
        method: A tuning method (`adapters_tf.models.trainable_set.PAPER_METHODS`), or
            `"no_bert"`: a small text model without a pretrained encoder, searched
            for within the trial.
        epochs: Passes over the training rows.
        seed: Of weights, order of the rows and dropout.
        learning_rate: Peak rate; `None` for `"no_bert"`, which searches its own.
        bottleneck_dim: Units of the adapters, for `"adapters"` only.
        top_n: Number of trained blocks, for `"top_n"` only.
        initializer_stddev: Of the adapters' kernels, for `"adapters"` only.
        top_layers: Adapters in so many of the top blocks only, for `"adapters"` only;
            `None` for all blocks.
        batch_size: Rows of a batch.

    Raises:
        ValueError: if the method is not known, or lacks or does not take one of them.
    """

    task: str
    method: str
    epochs: int
    seed: int = 0
    learning_rate: float | None = None
    bottleneck_dim: int | None = None
    top_n: int | None = None
    initializer_stddev: float | None = None
    batch_size: int = 32
    top_layers: int | None = None

    def __post_init__(self) -> None:
        if self.method not in STUDY_METHODS:
            raise ValueError(
                f"method must be one of {', '.join(STUDY_METHODS)}. Received: "
                f"method={self.method!r}"
            )
        if self.method == "adapters" and self.initializer_stddev is None:
            object.__setattr__(
                self, "initializer_stddev", AdapterConfig().initializer_stddev
            )
        owners = {
            "learning_rate": PAPER_METHODS,
            "bottleneck_dim": ("adapters",),
            "initializer_stddev": ("adapters",),
            "top_n": ("top_n",),
        }
        if self.top_layers is not None and self.method != "adapters":
            raise ValueError(
                f"method={self.method!r} takes no top_layers. Received: "
                f"top_layers={self.top_layers}"
            )
        for name, methods in owners.items():
            value, takes = getattr(self, name), self.method in methods
            if (value is not None) != takes:
                rule = "needs a" if takes else "takes no"
                raise ValueError(
                    f"method={self.method!r} {rule} {name}. Received: {name}={value}"
                )

    @property
    def variant(self) -> str:
        """The method with its size: `adapters-64`, `adapters-64-top3`, `full`."""
        size = self.bottleneck_dim or self.top_n
        where = f"-top{self.top_layers}" if self.top_layers else ""
        return f"{self.method}-{size}{where}" if size else self.method

    @property
    def name(self) -> str:
        """A name that no other setting has, fit for a directory."""
        parts = [self.task, self.variant]
        if self.learning_rate is not None:
            parts.append(f"lr{self.learning_rate:g}")
        parts.append(f"e{self.epochs}")
        if self.batch_size != 32:
            parts.append(f"b{self.batch_size}")
        if self.initializer_stddev not in (None, AdapterConfig().initializer_stddev):
            parts.append(f"sd{self.initializer_stddev:g}")
        return ".".join([*parts, f"s{self.seed}"])

    @property
    def tuning(self) -> Tuning:
        """The tuning method of the model; not for `"no_bert"`."""
        return Tuning(self.method, self.top_n)

    def with_seed(self, seed: int) -> "Setting":
        """The same setting with another seed."""
        return dataclasses.replace(self, seed=seed)

    def to_dict(self) -> dict[str, Any]:
        """The fields that have a value."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if value is not None}
