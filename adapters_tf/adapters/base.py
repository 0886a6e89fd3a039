"""What a parameter-efficient method provides.

A method is one module with a frozen dataclass, its configuration, that extends
`AdapterMethod`, and one or more `TaskForm`s, which say how exports hold its tensors.
`adapters_tf.adapters` lists the methods.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, cast

import keras
import numpy as np

# The places of an encoder block at which a method may add layers.
SUBLAYERS = ("attention", "feed_forward")
PROJECTIONS = ("query", "key", "value", "attention_output")
SITES = (*SUBLAYERS, *PROJECTIONS)


@dataclasses.dataclass(frozen=True)
class Site:
    """What a block has computed at one place, for the adapter there.

    Attributes:
        name: One of `SITES`. `"attention"` and `"feed_forward"` are the sub-layers, up
            to their dropout; the others are the dense layers inside the attention.
        inputs: `[batch, length, d]`, the input of the sub-layer. At a projection, its
            input: `[batch, length, heads, head_dim]` for `"attention_output"`.
        outputs: The output: `[batch, length, d]`, or `[batch, length, heads, head_dim]`
            for `"query"`, `"key"` and `"value"`.
        normalized: Of a sub-layer, a function that returns the block's LayerNorm of
            `outputs` plus the residual, `[batch, length, d]`; else `None`.
    """

    name: str
    inputs: Any
    outputs: Any
    normalized: Callable[[], Any] | None = None


class AdapterMethod(abc.ABC):
    """A method's configuration, and what the method does with it.

    Subclasses are frozen dataclasses. They have the two fields `layers` and
    `layer_norm_layers` beside their own.

    Attributes:
        name: The method's name in files and in the registry.
        suffix: The layer at a site is named `{site}_{suffix}`, so the suffix is part of
            every variable's path. Two methods never share a suffix.
        layers: Indices of the encoder blocks that get adapters, from 0; negative ones
            count from the top. `None` for all.
        layer_norm_layers: Indices of the blocks whose LayerNorms are the task's own;
            with block 0, that of the embeddings too. `None` for those of `layers`.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]

    if TYPE_CHECKING:  # fields of the subclasses, which are frozen

        @property
        @abc.abstractmethod
        def layers(self) -> tuple[int, ...] | None: ...

        @property
        @abc.abstractmethod
        def layer_norm_layers(self) -> tuple[int, ...] | None: ...

    # === In the block ===

    @abc.abstractmethod
    def sites(self) -> tuple[str, ...]:
        """The sites of a block that get a layer, in the order of building."""

    @abc.abstractmethod
    def make_layer(
        self,
        site: str,
        input_shape: tuple[int | None, ...],
        output_shape: tuple[int | None, ...],
        **kwargs: Any,
    ) -> keras.layers.Layer:
        """A new, built layer for a site. Its variables are the task's own.

        Args:
            site: One of `sites()`.
            input_shape: Shape of `Site.inputs`.
            output_shape: Shape of `Site.outputs`.
            **kwargs: `name` and `dtype` of the layer.
        """

    @abc.abstractmethod
    def adapt(self, layer: Any, site: Site, training: bool | None) -> Any:
        """What the block goes on with in the place of `site.outputs`.

        Args:
            layer: From `make_layer`.
            site: What the block has computed.
            training: Whether dropout is active.

        Returns:
            A tensor of the shape of `site.outputs`.
        """

    @abc.abstractmethod
    def neutral_variables(self, layer: Any) -> list[keras.Variable]:
        """The variables that, all at zero, make a layer change nothing.

        Args:
            layer: From `make_layer`.
        """

    @abc.abstractmethod
    def num_parameters(self, hidden_dim: int) -> int:
        """How many parameters the layers of one block have."""

    def variable_shapes(self, hidden_dim: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the layers' variables, by their path inside of a block.

        For methods whose sites are sub-layers: those at projections also depend on
        the number of heads.

        Args:
            hidden_dim: Hidden size `d`.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        hidden = (None, None, hidden_dim)
        for site in self.sites():
            name = f"{site}_{self.suffix}"
            layer = self.make_layer(site, hidden, hidden, name=name, dtype="float32")
            shapes |= {v.path: tuple(v.shape) for v in layer.weights}
        return shapes

    def check_block(self, normalize_first: bool) -> None:  # noqa: B027
        """Refuse a block that the method cannot adapt.

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
        """Indices of the blocks whose LayerNorms a task trains.

        With block 0 it trains that of the embeddings too. A method that trains no
        LayerNorm returns `()`.
        """
        if self.layer_norm_layers is not None:
            return self.layer_norm_layers
        return tuple(i for i in range(num_blocks) if self.adapts(i))

    def for_blocks(self, num_blocks: int) -> Self:
        """The same for a backbone of so many blocks: indices from 0, in their order.

        Raises:
            ValueError: if one of them names a block that is not there.
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
        """The same with other values of some fields."""
        return dataclasses.replace(cast(Any, self), **changes)

    def check_blocks(self, num_blocks: int) -> None:
        """Refuse indices that are not of a backbone's blocks, counted from 0.

        Raises:
            ValueError: if one of them names a block that is not there.
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
        """What a model card says of the configuration: title -> value."""
        return {"method": self.name}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `adapter_from_dict` reads them back."""
        fields = dataclasses.asdict(cast(Any, self))
        return {"method": self.name, **fields}

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> Self:
        """The configuration that `to_dict` wrote.

        Raises:
            ValueError: if a field is unknown.
        """
        config = {k: v for k, v in config.items() if k != "method"}
        known = {f.name for f in dataclasses.fields(cast(Any, cls))}
        unknown = sorted(set(config) - known)
        if unknown:
            raise ValueError(f"Unknown adapter configuration field(s): {unknown}")
        return cast(Any, cls)(**config)

    # === In exports ===

    def check_exportable(self) -> None:  # noqa: B027
        """Refuse a configuration that no form of the method can hold.

        Raises:
            UserError: saying what would do.
        """

    @abc.abstractmethod
    def form(self) -> "TaskForm":
        """How an adapter SavedModel holds a task of this configuration."""

    @classmethod
    @abc.abstractmethod
    def full_form(cls) -> "TaskForm":
        """The form that can hold a task of every configuration of the method."""


@dataclasses.dataclass(frozen=True)
class TaskTensor:
    """One tensor of a task, as exports hold it.

    Attributes:
        name: Below the path of its site, or by itself.
        shape: Its sizes, `None` where tasks may differ.
        ragged: How tensors of many tasks are joined where the shape has a `None`. If
            false, the one `None` is the number of units of the site's adapter, which
            all such tensors of the site share; units of all tasks stand end to end. If
            true, the tensor is flattened and has a place and a shape of its own.
        dtype: Of its values.
    """

    name: str
    shape: tuple[int | None, ...]
    ragged: bool = False
    dtype: str = "float32"

    @property
    def unit_axis(self) -> int | None:
        """The axis that counts the units of a bottleneck, or `None` without one."""
        if self.ragged or None not in self.shape:
            return None
        return self.shape.index(None)

    def empty(self) -> np.ndarray:
        """The value for a task that has no such tensor: no units, or zeros."""
        return np.zeros([size or 0 for size in self.shape], self.dtype)


class Rows(Protocol):
    """Rows of many tasks, in the order in which a form's `for_rows` computes them.

    Attributes:
        tasks: `[batch]` int32, the index of each row's task.
    """

    tasks: Any

    def apply(self, function: Callable[[Any, Any], Any], inputs: Any) -> Any:
        """`function(rows, tasks)`, in groups of rows of one task where that is cheaper.

        Args:
            function: Takes `[n, length, d]` and `[n]` tasks; returns a tensor of the
                first one's shape.
            inputs: `[batch, length, d]`.
        """


AtSite = Callable[[str, Site], Any]


class TaskForm(abc.ABC):
    """How exports hold tasks of a method, and compute with what they hold.

    Attributes:
        name: What a base SavedModel calls it.
        sites: Of `SITES`, those at which it may have tensors.
        suffix: That of the method.
    """

    name: ClassVar[str]
    sites: ClassVar[tuple[str, ...]]
    suffix: ClassVar[str]

    def paths(self, block_paths: list[str]) -> list[str]:
        """The paths of all sites in these blocks: `{block}/{site}_{suffix}`."""
        return [f"{b}/{s}_{self.suffix}" for b in block_paths for s in self.sites]

    def once(self) -> tuple[TaskTensor, ...]:
        """The tensors that a task has once, such as numbers that stand for options."""
        return ()

    @abc.abstractmethod
    def at_site(self, hidden_dim: int) -> tuple[TaskTensor, ...]:
        """The tensors that a task has at each site; one or more vary in size."""

    def option_values(self, config: Any) -> dict[str, np.ndarray]:
        """The values of `once` for a configuration, or for `None`: no adapters."""
        return {tensor.name: tensor.empty() for tensor in self.once()}

    def site_values(
        self, variables: dict[str, np.ndarray], path: str, hidden_dim: int
    ) -> dict[str, np.ndarray]:
        """A task's tensors at a site, out of the variables of its adapter file.

        Args:
            variables: Variable path -> array; those of other places are not read.
            path: The site's path.
            hidden_dim: Hidden size `d` of the base.
        """
        return {
            f"{path}/{t.name}": variables.get(f"{path}/{t.name}", t.empty())
            for t in self.at_site(hidden_dim)
        }

    def is_absent(self, values: dict[str, Any], path: str, hidden_dim: int) -> bool:
        """Whether a task has no adapter at a site: all that varies in size is empty.

        Args:
            values: The task's tensors.
            path: The site's path.
            hidden_dim: Hidden size `d` of the base.
        """
        varying = [t.name for t in self.at_site(hidden_dim) if None in t.shape]
        return all(0 in values[f"{path}/{name}"].shape for name in varying)

    @abc.abstractmethod
    def for_one_task(self, tensors: dict[str, Any]) -> AtSite:
        """What one task computes, for training and inference (TensorFlow).

        Args:
            tensors: Its tensors: `once` by name, `at_site` by path and name.

        Returns:
            A function of a site's path and a `Site`, which returns what the block goes
            on with.
        """

    @abc.abstractmethod
    def for_rows(self, bank: dict[str, Any], rows: Rows) -> AtSite:
        """What each row's own task computes, for inference (TensorFlow).

        Args:
            bank: The tensors of many tasks, see `adapters_tf.adapters.joined`.
            rows: The rows' tasks.

        Returns:
            As `for_one_task`.
        """
