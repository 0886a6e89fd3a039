"""The kinds of tasks, one line each."""

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
    """Make a kind known under its name to training, prediction and export.

    Args:
        kind: The kind. Files of training rows are offered to the kinds in the order of
            their registration, until one recognises them.

    Raises:
        ValueError: There is one of this name.
    """
    if kind.name in _KINDS:
        raise ValueError(f"A kind's name must be new. Received: {kind.name!r}")
    _KINDS[kind.name] = kind


def kinds() -> Mapping[str, Kind]:
    """All kinds by name."""
    return MappingProxyType(_KINDS)


def kind_named(name: str) -> Kind:
    """The kind of this name.

    Raises:
        UserError: There is none.
    """
    if name not in _KINDS:
        raise UserError(
            f"kind must be one of {', '.join(sorted(_KINDS))}. Received: kind={name!r}"
        )
    return _KINDS[name]


# Classification is last: it recognises every file.
register_kind(QuestionAnswering())
register_kind(TokenClassification())
register_kind(MultiLabel())
register_kind(Regression())
register_kind(Classification())
