"""Trace graphs without TensorFlow's checks of the form of ragged tensors."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

# Private; tests/export/test_encoders.py counts the checks that are left.
from tensorflow.python.ops import check_ops, control_flow_ops
from tensorflow.python.ops.ragged.ragged_tensor import RaggedTensor
from tensorflow.python.ops.ragged.row_partition import RowPartition

_ASSERTS = (
    "assert_equal",
    "assert_greater",
    "assert_greater_equal",
    "assert_less",
    "assert_less_equal",
    "assert_non_negative",
)
_CHECKED = {
    RowPartition: (
        "from_row_lengths",
        "from_row_limits",
        "from_row_splits",
        "from_row_starts",
        "from_uniform_row_length",
        "from_value_rowids",
    ),
    RaggedTensor: ("_from_row_partition",),
}
_lock = threading.RLock()


@contextlib.contextmanager
def without_ragged_checks() -> Iterator[None]:
    """Trace a block without the checks that ragged tensors have the form they claim.

    TensorFlow adds a branch with forty nodes for nearly every ragged tensor that a
    tokenizer makes: more than half of a text signature's graph, which makes each first
    call slow. The tests of packing run the same code with the checks.

    The block must make no assertion that users need. Meanwhile, graphs that other
    threads trace lack these checks too.
    """
    with _lock, contextlib.ExitStack() as stack:
        for name in _ASSERTS:
            _set(stack, check_ops, name, _no_check)
        for owner, names in _CHECKED.items():
            for name in names:
                _set(stack, owner, name, _unchecked(getattr(owner, name)))
        yield


def _set(stack: contextlib.ExitStack, owner: Any, name: str, value: Any) -> None:
    stack.callback(setattr, owner, name, vars(owner)[name])
    setattr(owner, name, value)


def _no_check(*args: Any, **options: Any) -> Any:
    return control_flow_ops.no_op()


def _unchecked(make: Any) -> Any:
    def unchecked(*args: Any, **options: Any) -> Any:
        return make(*args, **{**options, "validate": False})

    return staticmethod(unchecked)
