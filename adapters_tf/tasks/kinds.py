"""The registry of kinds of tasks."""

from collections.abc import Mapping
from types import MappingProxyType

from adapters_tf.errors import UserError
from adapters_tf.tasks.base import Kind
from adapters_tf.tasks.classification import Classification
from adapters_tf.tasks.multi_label import MultiLabel
from adapters_tf.tasks.question_answering import QuestionAnswering
from adapters_tf.tasks.regression import Regression
from adapters_tf.tasks.token_classification import TokenClassification

_KINDS: dict[str, Kind] = {}


def register_kind(kind: Kind) -> None:
    """Register a kind by its name for training, prediction and export.

    Args:
        kind: The kind. Registration order matters: the first kind that recognises a
            file of training rows is used.

    Raises:
        ValueError: if a kind of this name exists.
    """
    if kind.name in _KINDS:
        raise ValueError(f"A kind's name must be new. Received: {kind.name!r}")
    _KINDS[kind.name] = kind


def kinds() -> Mapping[str, Kind]:
    """Return all kinds by name."""
    return MappingProxyType(_KINDS)


def kind_named(name: str) -> Kind:
    """Return the kind of this name.

    Raises:
        UserError: if there is none.
    """
    if name not in _KINDS:
        raise UserError(
            f"kind must be one of {', '.join(sorted(_KINDS))}. Received: kind={name!r}"
        )
    return _KINDS[name]


# Keep classification last: it recognises every file.
register_kind(QuestionAnswering())
register_kind(TokenClassification())
register_kind(MultiLabel())
register_kind(Regression())
register_kind(Classification())
