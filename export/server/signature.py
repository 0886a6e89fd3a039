"""A signature of a SavedModel, and the checks of a request against it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.export.server.status import Code, ServingError, invalid

_METHODS = tuple(f"tensorflow/serving/{kind}" for kind in ("predict", "classify"))
METHOD_NAMES = (*_METHODS, "tensorflow/serving/regress")


@dataclasses.dataclass(frozen=True)
class Port:
    """One input or output: the graph's tensor, its dtype and declared shape."""

    tensor: str
    dtype: tf.DType
    shape: tf.TensorShape

    def __str__(self) -> str:
        return f"{self.dtype.name} {_shape_text(self.shape)}"


def _shape_text(shape: tf.TensorShape) -> str:
    if shape.rank is None:
        return "of any shape"
    return f"[{', '.join('any' if d is None else str(d) for d in shape.as_list())}]"


def _ports(infos: Mapping[str, Any]) -> dict[str, Port]:
    return {
        name: Port(
            info.name, tf.as_dtype(info.dtype), tf.TensorShape(info.tensor_shape)
        )
        for name, info in sorted(infos.items())
        # The initialiser's output is an op of no dtype; a composite has no tensor.
        if info.name and info.dtype
    }


class Signature:
    """One signature.

    Args:
        name: Its key in the SavedModel.
        definition: Its SignatureDef.

    Attributes:
        inputs: Its inputs by name.
        outputs: Its outputs by name.
        mergeable: Whether requests may run together: every input and output has
            a first dimension of any size. Set to False by the first run that
            shows otherwise.
    """

    def __init__(self, name: str, definition: Any) -> None:
        self.name = name
        self.definition = definition
        self.inputs = _ports(definition.inputs)
        self.outputs = _ports(definition.outputs)
        self.mergeable = bool(self.inputs) and all(
            port.shape.rank and port.shape[0] is None
            for port in (*self.inputs.values(), *self.outputs.values())
        )

    def check_method(self) -> None:
        """Refuse an entry that is no prediction, such as the initialiser.

        Raises:
            ServingError: Its method name is none of a prediction's.
        """
        if self.definition.method_name not in METHOD_NAMES:
            raise ServingError(
                Code.INTERNAL,
                "Expected prediction signature method_name to be one of "
                f"{{{', '.join(METHOD_NAMES)}}}. Was: {self.definition.method_name}",
            )

    def check_names(self, names: set[str]) -> None:
        """Check that exactly the declared inputs came.

        Raises:
            ServingError: One is missing, or there is one too many.
        """
        expected = set(self.inputs)
        required = expected - set(self.definition.defaults)
        if required <= names <= expected:
            return
        raise invalid(
            f"input size does not match signature: {len(names)}!={len(expected)} "
            f"len({{{_join(names)}}}) != len({{{_join(expected)}}}). Sent extra: "
            f"{{{_join(names - expected)}}}. Missing but required: "
            f"{{{_join(required - names)}}}."
        )

    def complete(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Check a request's inputs and add the defaults of those it leaves out.

        Returns:
            An array for each declared input.

        Raises:
            ServingError: The names, a dtype or a shape is not as declared.
        """
        self.check_names(set(inputs))
        complete = {}
        for name, port in self.inputs.items():
            if name in inputs:
                array = inputs[name]
            else:
                array = tf.make_ndarray(self.definition.defaults[name])
            dtype = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
            if dtype != port.dtype or not port.shape.is_compatible_with(array.shape):
                raise invalid(
                    f"Input {name} of signature {self.name} must be {port}. Received: "
                    f"{dtype.name} {list(array.shape)}."
                )
            complete[name] = array
        return complete

    def select(self, output_filter: Sequence[str]) -> tuple[str, ...]:
        """The names of the outputs that a request wants; all without a filter.

        Raises:
            ServingError: A name is unknown, or comes twice.
        """
        for i, name in enumerate(output_filter):
            if name not in self.outputs:
                raise invalid(
                    f"output tensor alias not found in signature: {name} Outputs "
                    f"expected to be in the set {{{_join(self.outputs)}}}."
                )
            if name in output_filter[:i]:
                raise invalid(f"duplicate output tensor alias: {name}")
        return tuple(output_filter) or tuple(self.outputs)


def _join(names: Any) -> str:
    return ",".join(sorted(names))
