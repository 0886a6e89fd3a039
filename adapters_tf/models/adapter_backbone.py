"""keras-hub backbones whose encoder blocks carry adapters, each for one live model."""

import gc
import types
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import keras
import keras_hub

from adapters_tf.adapters import AdapterMethod, adapter_from_dict
from adapters_tf.errors import UserError
from adapters_tf.layers.dropout import Dropout
from adapters_tf.layers.rebind import rebind
from adapters_tf.models.block import KERAS_WITH_OUR_LAYERS, AdapterTransformerEncoder
from adapters_tf.models.fingerprint import base_fingerprint, variable_digests
from adapters_tf.preset_names import resolve_preset


def named_outputs(outputs: Any) -> dict[str, Any]:
    """Return a backbone's outputs by name, even if its class does not name them.

    Args:
        outputs: The outputs of an `AdapterBackbone`.

    Returns:
        `sequence_output` `[batch, length, d]`, and `pooled_output` `[batch, d]` where
        the backbone has a pooler.
    """
    return outputs if isinstance(outputs, dict) else {"sequence_output": outputs}


# Type checkers see the mixin as a subclass of the class it extends.
if TYPE_CHECKING:
    from keras_hub.models import Backbone as _Backbone
else:
    _Backbone = object


class AdapterBackbone(_Backbone):
    """Mixin that adds adapters to the keras-hub backbone after it in the bases.

    ```python
    class BertAdapterBackbone(AdapterBackbone, keras_hub.models.BertBackbone): ...
    ```

    is enough for a backbone built of `keras_hub.layers.TransformerEncoder` blocks. The
    mixin runs the keras-hub class's own constructor with `AdapterTransformerEncoder` in
    place of `TransformerEncoder`. Layer names and variable paths match the plain
    backbone's; adapters add
    `transformer_layer_{i}/{attention,feed_forward}_adapter/...`.

    Args:
        *args: As the keras-hub backbone.
        adapter: A configuration such as `AdapterConfig`, its `to_dict`, or `None` for
            no adapters.
        fingerprint: `base_fingerprint` of the plain backbone that the weights came
            from, or `None` if unknown; kept through save and load.
        base_digests: `variable_digests` of the base with this fingerprint, or `None` if
            unknown; kept likewise. With them, a base that was changed is noticed.
        **kwargs: As the keras-hub backbone.

    A block that the keras-hub class calls several times, as in ALBERT, counts as one
    block; all its calls share one pair of adapters.

    Attributes:
        encoder_blocks: The blocks, the lowest first.
        calls: For each call of a block, in order of computation, the block's index and
            its output, a `[batch, length, d]` Keras tensor.
        num_fixed_blocks: Number of lowest blocks that run in inference mode even during
            training; see `fix_blocks`.

    Raises:
        ValueError: if `adapter.layers` names a block that does not exist, or counts
            from the top; see `AdapterMethod.for_blocks`.
    """

    def __init__(
        self,
        *args: Any,
        adapter: AdapterMethod | dict[str, Any] | None = None,
        fingerprint: str | None = None,
        base_digests: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        if any(isinstance(x, keras.KerasTensor) for x in keras.tree.flatten(args)):
            raise UserError(
                "A backbone with adapters is made of sizes. Received: a model's inputs "
                "and outputs, which keras.models.clone_model(recursive=True) gives. "
                "copy.deepcopy(model) copies a model with its backbone"
            )
        if isinstance(adapter, dict):
            adapter = adapter_from_dict(adapter)
        blocks: list[AdapterTransformerEncoder] = []
        calls: list[tuple[int, keras.KerasTensor]] = []

        def make_block(*args: Any, **kwargs: Any) -> AdapterTransformerEncoder:
            adapted = adapter is not None and adapter.adapts(len(blocks))
            kwargs["adapter"] = adapter if adapted else None
            block = AdapterTransformerEncoder(*args, **kwargs)
            index = len(blocks)
            block.on_symbolic_call = lambda output: calls.append((index, output))
            blocks.append(block)
            return block

        init = rebind(
            self.plain_class().__init__,
            TransformerEncoder=make_block,
            keras=KERAS_WITH_OUR_LAYERS,
        )
        init(self, *args, **kwargs)
        for block in blocks:
            block.on_symbolic_call = None
        if adapter is not None:
            adapter.check_blocks(len(blocks))
        self.adapter = adapter
        self.fingerprint = fingerprint
        self._set_digests(base_digests)
        self.encoder_blocks = blocks
        self.calls = tuple(calls)
        self.num_fixed_blocks = 0

    @classmethod
    def plain_class(cls) -> type[keras_hub.models.Backbone]:
        """Return the keras-hub class without adapters."""
        return next(
            base
            for base in cls.__mro__
            if issubclass(base, keras_hub.models.Backbone)
            and not issubclass(base, AdapterBackbone)
        )

    @classmethod
    def from_backbone(
        cls,
        backbone: keras_hub.models.Backbone,
        adapter: AdapterMethod | None = None,
        dtype: Any = None,
    ) -> Self:
        """Copy a plain backbone and add freshly initialised adapters.

        Args:
            backbone: An instance of `plain_class()`, with its weights loaded.
            adapter: The adapters' configuration, or `None`.
            dtype: Dtype policy of the copy; the backbone's own by default.

        Raises:
            ValueError: if the backbone is of another class, or its variables differ
                from the copy's non-adapter variables.
        """
        plain = cls.plain_class()
        if type(backbone) is not plain:
            raise ValueError(
                f"{cls.__name__} is made from a {plain.__name__}. Received: "
                f"{type(backbone).__name__}"
            )
        if adapter is not None:
            # ALBERT's `num_layers` counts the calls of its shared blocks.
            block = keras_hub.layers.TransformerEncoder
            blocks = sum(isinstance(layer, block) for layer in backbone.layers)
            adapter = adapter.for_blocks(blocks)
        config = backbone.get_config()
        if dtype is not None:
            config["dtype"] = dtype
        adapted = cls.from_config(
            {
                **config,
                "adapter": None if adapter is None else adapter.to_dict(),
                "fingerprint": base_fingerprint(backbone),
            }
        )
        source = {v.path: v for v in backbone.weights}
        target = {v.path: v for v in adapted.base_variables()}
        if set(source) != set(target):
            raise ValueError(
                "The plain and the adapted backbone differ beside the adapters: "
                f"{sorted(set(source) ^ set(target))}"
            )
        for path, variable in target.items():
            variable.assign(source[path])
        # In the copy's dtype, which may differ.
        adapted._set_digests(variable_digests(target.values()))
        return adapted

    @classmethod
    def from_preset(
        cls,
        preset: str,
        load_weights: bool = True,
        adapter: AdapterMethod | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load with keras-hub's own loader, then add adapters.

        Args:
            preset: A keras-hub preset name, a handle (`hf://`, `kaggle://`), a
                Hugging Face directory, a directory saved by
                `save_to_preset`, or `"demo"`.
            load_weights: As keras-hub; `False` gives a random base.
            adapter: The adapters' configuration; `None` for those that the
                preset was saved with, or none.
            **kwargs: As keras-hub, such as `dtype`.
        """
        if cls is AdapterBackbone:
            # The preset determines the architecture. Imported here to avoid a cycle.
            from adapters_tf.models.presets import load_backbone

            return load_backbone(preset, adapter, load_weights=load_weights, **kwargs)
        loaded = cls.plain_class().from_preset(
            resolve_preset(preset), load_weights=load_weights, **kwargs
        )
        return cls.from_loaded(loaded, preset, adapter)

    @classmethod
    def from_loaded(
        cls,
        loaded: keras_hub.models.Backbone,
        preset: str,
        adapter: AdapterMethod | None = None,
        default_adapter: AdapterMethod | None = None,
    ) -> Self:
        """Add adapters to a backbone that keras-hub loaded, unless it has its own.

        Args:
            loaded: A plain backbone, or one of this class if the preset was saved from
                one.
            preset: Where it was loaded from.
            adapter: The adapters' configuration; `None` for the preset's own.
            default_adapter: Used if `adapter` is `None` and the preset has no adapters.

        Raises:
            UserError: if the preset has adapters and `adapter` differs from their
                configuration.
        """
        if isinstance(loaded, cls):
            if adapter is not None:
                adapter = adapter.for_blocks(len(loaded.encoder_blocks))
            if loaded.adapter is None:
                # The base may be fully fine-tuned, so it gets its own fingerprint.
                loaded = loaded.to_plain()
            elif adapter in (None, loaded.adapter):
                return loaded
            else:
                raise UserError(
                    f"The preset {preset!r} holds adapters of its own, "
                    f"{loaded.adapter}; load it with the same, or adapter=None. "
                    f"Received: adapter={adapter}"
                )
        return cls.from_backbone(loaded, adapter or default_adapter)

    def to_plain(self) -> keras_hub.models.Backbone:
        """Copy the backbone without adapters, as keras-hub's own class."""
        config = self.get_config()
        for own in ("adapter", "fingerprint", "base_digests"):
            del config[own]
        plain = self.plain_class().from_config(config)
        source = {v.path: v for v in self.base_variables()}
        for variable in plain.weights:
            variable.assign(source[variable.path])
        return plain

    def configure_adapters(self, adapter: AdapterMethod | None) -> None:
        """Replace the adapters with freshly initialised ones.

        The base's variables do not change. Rebuild every model that was built with the
        old adapters; `AdapterModel.add_adapter` does both.

        Args:
            adapter: The new adapters' configuration, or `None` for none.

        Raises:
            ValueError: if it names a block that does not exist.
        """
        if adapter is not None:
            adapter = adapter.for_blocks(len(self.encoder_blocks))
        for i, block in enumerate(self.encoder_blocks):
            adapted = adapter is not None and adapter.adapts(i)
            block.replace_adapters(adapter if adapted else None)
        self.adapter = adapter

    def adapter_layers(self) -> list[keras.layers.Layer]:
        """Return all adapters, in block order."""
        return [
            layer
            for block in self.encoder_blocks
            for layer in block.adapter_layers().values()
        ]

    def adapter_variables(self) -> list[keras.Variable]:
        """Return the variables of all adapters, in block order."""
        return [v for layer in self.adapter_layers() for v in layer.weights]

    def fix_blocks(self, num_blocks: int) -> None:
        """Run the lowest blocks in inference mode even during training.

        Args:
            num_blocks: Number of blocks; 1 or more also fixes the embeddings.
        """
        self.num_fixed_blocks = num_blocks
        for i, block in enumerate(self.encoder_blocks):
            block.fixed = i < num_blocks
        for layer in self.layers:
            if isinstance(layer, Dropout):  # The embeddings' dropout.
                layer.fixed = num_blocks > 0

    def calls_below(self, num_blocks: int) -> int | None:
        """Count the calls of the lowest blocks, if they all come before other calls.

        Args:
            num_blocks: Number of lowest blocks.

        Returns:
            The number of calls, or `None` if a higher block is called before the last
            call of one of them.
        """
        below = [index < num_blocks for index, _ in self.calls]
        return sum(below) if below == sorted(below, reverse=True) else None

    def _set_digests(self, digests: Mapping[str, str] | None) -> None:
        # Read-only, so Keras and TensorFlow do not track it as a part of the model.
        known = None if digests is None else types.MappingProxyType(dict(digests))
        self.base_digests: Mapping[str, str] | None = known

    def base_variables(self) -> list[keras.Variable]:
        """Return the variables that the plain backbone also has."""
        added = {id(v) for v in self.adapter_variables()}
        return [v for v in self.weights if id(v) not in added]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["adapter"] = None if self.adapter is None else self.adapter.to_dict()
        config["fingerprint"] = self.fingerprint
        digests = self.base_digests
        config["base_digests"] = None if digests is None else dict(digests)
        return config


# Backbone in use -> the model that trains it.
_owners: weakref.WeakKeyDictionary[Any, weakref.ref[Any]] = weakref.WeakKeyDictionary()


def check_backbone(backbone: Any) -> None:
    """Reject an object that is not an adapter backbone, or that a model uses.

    Args:
        backbone: The argument of a task model's constructor.

    Raises:
        UserError: if the backbone is unusable; the text says how to get another.
    """
    if not isinstance(backbone, AdapterBackbone):
        name = type(backbone).__name__
        advice = "load_backbone loads one, and from_preset of the task model loads both"
        if isinstance(backbone, keras.Model):
            advice = (
                "from_backbone of its class with adapters makes one of it, as in "
                "adapters_tf.BertAdapterBackbone.from_backbone(backbone, "
                "adapters_tf.AdapterConfig())"
            )
        raise UserError(
            f"A task model is made on a backbone with adapters. Received: a {name}. "
            f"In adapters_tf, {advice}"
        )
    if _owner(backbone) is not None:
        gc.collect()  # Models form cycles: an unused one may not be freed yet.
    if _owner(backbone) is not None:
        raise UserError(
            "A backbone belongs to one live model, as training another one on it would "
            "change the first one's outputs. Received: the backbone of the live model "
            f"{_owner(backbone).name!r}. Add a task to that one with its add_adapter, "
            "delete it, or load the backbone again"
        )


def _owner(backbone: Any) -> Any:
    reference = _owners.get(backbone)
    return None if reference is None else reference()


def take_backbone(backbone: AdapterBackbone, model: Any) -> None:
    """Record that this model now uses the backbone.

    Args:
        backbone: The backbone.
        model: A task model on the backbone, or `None` to release it.
    """
    if model is None:
        _owners.pop(backbone, None)
    else:
        _owners[backbone] = weakref.ref(model)
