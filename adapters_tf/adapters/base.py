"""The interface of a parameter-efficient method.

A method is one module with a frozen dataclass that extends `AdapterMethod` (its
configuration) and one or more `TaskForm`s (how exports hold its tensors).
`adapters_tf.adapters` lists the methods.
"""

import abc
import dataclasses
from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, cast

import keras
import numpy as np

# The sites of an encoder block at which a method can add layers.
SUBLAYERS = ("attention", "feed_forward")
PROJECTIONS = ("query", "key", "value", "attention_output")
SITES = (*SUBLAYERS, *PROJECTIONS)


@dataclasses.dataclass(frozen=True)
class Site:
    """The values that a block has computed at one site, for the adapter there.

    Attributes:
        name: One of `SITES`. `"attention"` and `"feed_forward"` are the sub-layers,
            including their dropout; the others are the dense layers inside the
            attention.
        inputs: Input of the sub-layer or projection: `[batch, length, d]`, or
            `[batch, length, heads, head_dim]` for `"attention_output"`.
        outputs: Output: `[batch, length, d]`, or `[batch, length, heads, head_dim]` for
            `"query"`, `"key"` and `"value"`.
        normalized: For a sub-layer, a function that returns the block's LayerNorm of
            `outputs` plus the residual, `[batch, length, d]`; otherwise `None`.
    """

    name: str
    inputs: Any
    outputs: Any
    normalized: Callable[[], Any] | None = None


def check_indices(name: str, value: Any) -> None:
    """Check that a field holds indices of encoder blocks, or `None`.

    Raises:
        ValueError: if it does not.
    """
    if value is not None and not (
        isinstance(value, tuple)
        and all(isinstance(i, Integral) and not isinstance(i, bool) for i in value)
    ):
        raise ValueError(
            f"{name} must be None or a tuple of whole numbers, indices of encoder "
            f"blocks. Received: {name}={value!r}"
        )


class AdapterMethod(abc.ABC):
    """A method's configuration and its computations.

    Subclasses are frozen dataclasses with the fields `layers` and `layer_norm_layers`,
    and their own.

    Attributes:
        name: The method's name in files and in the registry.
        suffix: The layer at a site is named `{site}_{suffix}`, so the suffix is part of
            every variable's path. Each method has its own suffix.
        layers: Indices of the encoder blocks that get adapters, from 0; negative ones
            count from the top. `None` for all.
        layer_norm_layers: Indices of the blocks whose LayerNorms the task trains; block
            0 includes the embeddings' LayerNorm. `None` for the blocks in `layers`.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]

    if TYPE_CHECKING:  # Fields of the frozen subclasses.

        @property
        @abc.abstractmethod
        def layers(self) -> tuple[int, ...] | None: ...

        @property
        @abc.abstractmethod
        def layer_norm_layers(self) -> tuple[int, ...] | None: ...

    # === In the block ===

    @abc.abstractmethod
    def sites(self) -> tuple[str, ...]:
        """Return the sites of a block that get a layer, in build order."""

    @abc.abstractmethod
    def make_layer(
        self,
        site: str,
        input_shape: tuple[int | None, ...],
        output_shape: tuple[int | None, ...],
        **kwargs: Any,
    ) -> keras.layers.Layer:
        """Build a new layer for a site; its variables belong to the task.

        Args:
            site: One of `sites()`.
            input_shape: Shape of `Site.inputs`.
            output_shape: Shape of `Site.outputs`.
            **kwargs: `name` and `dtype` of the layer.
        """

    @abc.abstractmethod
    def adapt(self, layer: Any, site: Site, training: bool | None) -> Any:
        """Return the tensor that replaces `site.outputs` in the block.

        Args:
            layer: From `make_layer`.
            site: The values that the block has computed.
            training: Whether dropout is active.

        Returns:
            A tensor of the shape of `site.outputs`.
        """

    @abc.abstractmethod
    def neutral_variables(self, layer: Any) -> list[keras.Variable]:
        """Return the variables that, if all are zero, make a layer change nothing.

        Args:
            layer: From `make_layer`.
        """

    @abc.abstractmethod
    def num_parameters(self, hidden_dim: int) -> int:
        """Return the number of parameters of one block's layers."""

    def variable_shapes(self, hidden_dim: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the layers' variables, by path inside a block.

        As in a `TaskForm`, shapes must not depend on the number of heads: a layer at a
        projection reads or writes the heads as one vector of `d` numbers.

        Args:
            hidden_dim: Hidden size `d`.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        hidden, head = (None, None, hidden_dim), (None, None, 1, hidden_dim)
        for site in self.sites():
            inputs = head if site == "attention_output" else hidden
            outputs = head if site in ("query", "key", "value") else hidden
            name = f"{site}_{self.suffix}"
            layer = self.make_layer(site, inputs, outputs, name=name, dtype="float32")
            shapes |= {v.path: tuple(v.shape) for v in layer.weights}
        return shapes

    def check_block(self, normalize_first: bool) -> None:  # noqa: B027
        """Reject a block that the method cannot adapt.

        Args:
            normalize_first: Whether the block's LayerNorms come before its sub-layers.

        Raises:
            ValueError: if the configuration does not fit such a block.
        """

    # === In the backbone ===

    def adapts(self, block: int) -> bool:
        """Whether the block of this index, from 0, gets adapters."""
        return self.layers is None or block in self.layers

    def own_layer_norms(self, num_blocks: int) -> tuple[int, ...]:
        """Return the indices of the blocks whose LayerNorms a task trains.

        Block 0 includes the embeddings' LayerNorm. A method that trains no LayerNorm
        returns `()`.
        """
        if self.layer_norm_layers is not None:
            return self.layer_norm_layers
        return tuple(i for i in range(num_blocks) if self.adapts(i))

    def for_blocks(self, num_blocks: int) -> Self:
        """Resolve the indices for a backbone: sorted, and counted from 0.

        Raises:
            ValueError: if an index names a block that does not exist.
        """
        resolved: dict[str, Any] = {}
        for name in ("layers", "layer_norm_layers"):
            layers = getattr(self, name)
            if layers is None:
                continue
            if not all(-num_blocks <= i < num_blocks for i in layers):
                raise ValueError(
                    f"{name} must be indices of encoder blocks, from 0 to "
                    f"{num_blocks - 1}, or from -{num_blocks} to -1 from the top. "
                    f"Received: {name}={layers}"
                )
            resolved[name] = tuple(sorted({i % num_blocks for i in layers}))
        return self.replaced(**resolved)

    def replaced(self, **changes: Any) -> Self:
        """Return a copy with other values of some fields."""
        return dataclasses.replace(cast(Any, self), **changes)

    def check_blocks(self, num_blocks: int) -> None:
        """Check that all indices name blocks of the backbone, counted from 0.

        Raises:
            ValueError: if an index names a block that does not exist.
        """
        for name in ("layers", "layer_norm_layers"):
            layers = getattr(self, name) or ()
            if set(layers) - set(range(num_blocks)):
                raise ValueError(
                    f"{name} must be indices of encoder blocks, from 0 to "
                    f"{num_blocks - 1}. Received: {name}={layers}"
                )

    # === In files ===

    def about(self) -> dict[str, str | int]:
        """Describe the configuration for a model card: title -> value."""
        return {"method": self.name}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for `adapter_from_dict`."""
        fields = dataclasses.asdict(cast(Any, self))
        return {"method": self.name, **fields}

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> Self:
        """Create a configuration from the output of `to_dict`.

        Raises:
            ValueError: if a field is unknown.
        """
        # JSON has lists where the fields are tuples.
        config = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in config.items()
            if name != "method"
        }
        known = {f.name for f in dataclasses.fields(cast(Any, cls))}
        unknown = sorted(set(config) - known)
        if unknown:
            raise ValueError(f"Unknown adapter configuration field(s): {unknown}")
        return cast(Any, cls)(**config)

    # === In exports ===

    def check_exportable(self) -> None:  # noqa: B027
        """Reject a configuration that no form of the method can hold.

        Raises:
            UserError: if exports cannot hold it; the text says what would work.
        """

    @abc.abstractmethod
    def form(self) -> "TaskForm":
        """Return the form in which a SavedModel holds a task of this configuration."""

    @classmethod
    @abc.abstractmethod
    def full_form(cls) -> "TaskForm":
        """Return the form that can hold every configuration of the method."""


@dataclasses.dataclass(frozen=True)
class TaskTensor:
    """The description of one tensor of a task in exports.

    Attributes:
        name: The whole path, or the part below the site's path.
        shape: Sizes; `None` where tasks may differ.
        ragged: How to join tensors of many tasks if the shape has a `None`. If false,
            the `None` is the number of units of the site's adapter, shared by all such
            tensors of the site, and the units of all tasks are concatenated. If true,
            the tensor is flattened and has its own offset and shape.
        dtype: Dtype of the values.
    """

    name: str
    shape: tuple[int | None, ...]
    ragged: bool = False
    dtype: str = "float32"

    @property
    def unit_axis(self) -> int | None:
        """The axis of the bottleneck's units, or `None` if there is none."""
        if self.ragged or None not in self.shape:
            return None
        return self.shape.index(None)

    def empty(self) -> np.ndarray:
        """Return the value for a task without such a tensor: no units, or zeros."""
        return np.zeros([size or 0 for size in self.shape], self.dtype)


class Rows(Protocol):
    """Rows of many tasks, in the order in which `TaskForm.for_rows` computes them.

    Attributes:
        tasks: `[batch]` int32, the index of each row's task.
    """

    tasks: Any

    def apply(self, function: Callable[[Any, Any], Any], inputs: Any) -> Any:
        """Apply `function(rows, tasks)`, grouping rows by task if that is cheaper.

        Args:
            function: Takes `[n, length, d]` rows and `[n]` tasks; returns a tensor of
                the rows' shape.
            inputs: `[batch, length, d]`.
        """


AtSite = Callable[[str, Site], Any]


class TaskForm(abc.ABC):
    """How exports hold tasks of a method and compute their outputs.

    Attributes:
        name: Name in a base SavedModel.
        sites: The members of `SITES` at which it can have tensors.
        suffix: The method's suffix.
    """

    name: ClassVar[str]
    sites: ClassVar[tuple[str, ...]]
    suffix: ClassVar[str]

    def paths(self, block_paths: list[str]) -> list[str]:
        """Return the paths of all sites in these blocks: `{block}/{site}_{suffix}`."""
        return [f"{b}/{s}_{self.suffix}" for b in block_paths for s in self.sites]

    def once(self) -> tuple[TaskTensor, ...]:
        """Return the tensors that a task has once, such as encoded options."""
        return ()

    @abc.abstractmethod
    def at_site(self, hidden_dim: int) -> tuple[TaskTensor, ...]:
        """Return the tensors that a task has at each site; one or more vary in size."""

    def option_values(self, config: Any) -> dict[str, np.ndarray]:
        """Return the values of `once` for a configuration; `None` means no adapters."""
        return {tensor.name: tensor.empty() for tensor in self.once()}

    def site_values(
        self, variables: dict[str, np.ndarray], path: str, hidden_dim: int
    ) -> dict[str, np.ndarray]:
        """Return a task's tensors at a site, from its adapter file's variables.

        Args:
            variables: Variable path -> array; other paths are ignored.
            path: The site's path.
            hidden_dim: Hidden size `d` of the base.
        """
        return {
            f"{path}/{t.name}": variables.get(f"{path}/{t.name}", t.empty())
            for t in self.at_site(hidden_dim)
        }

    def is_absent(self, values: dict[str, Any], path: str, hidden_dim: int) -> bool:
        """Whether a task has no adapter at a site: all size-varying tensors are empty.

        Args:
            values: The task's tensors.
            path: The site's path.
            hidden_dim: Hidden size `d` of the base.
        """
        varying = [t.name for t in self.at_site(hidden_dim) if None in t.shape]
        return all(0 in values[f"{path}/{name}"].shape for name in varying)

    @abc.abstractmethod
    def for_one_task(self, tensors: dict[str, Any]) -> AtSite:
        """Return one task's computation, for training and inference (TensorFlow).

        Args:
            tensors: The task's tensors: `once` by name, `at_site` by path and name.

        Returns:
            A function of a site's path and a `Site` that returns the tensor that
            replaces `Site.outputs`.
        """

    @abc.abstractmethod
    def for_rows(self, bank: dict[str, Any], rows: Rows) -> AtSite:
        """Return the computation of each row's own task, for inference (TensorFlow).

        Args:
            bank: The tensors of many tasks; see `adapters_tf.adapters.joined`.
            rows: The rows' tasks.

        Returns:
            As `for_one_task`.
        """
