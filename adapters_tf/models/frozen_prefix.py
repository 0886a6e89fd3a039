"""Cut a model in two: the frozen lowest blocks, and the rest."""

from typing import Self

import keras

from adapters_tf.models.adapter_backbone import named_outputs
from adapters_tf.models.adapter_model import AdapterModel

HIDDEN_STATES = "hidden_states"
PADDING_MASK = "padding_mask"


class FrozenPrefix:
    """A model, cut above its lowest blocks.

    `prefix.upper({"hidden_states": prefix.lower(x), "padding_mask": ...})` is
    `model(x)`. This also holds in training if the cut lies below everything that the
    model trains, because the blocks below then run in inference mode
    (`AdapterBackbone.fix_blocks`). Both parts share the model's own layers, so changes
    to one part's variables also change the model.

    Args:
        model: The model.
        num_blocks: Number of blocks below the cut; by default all blocks below
            everything that the model trains.

    Attributes:
        num_blocks: Number of blocks below the cut.
        model: The model.
        lower: Keras model from the model's inputs to `[batch, length, d]` hidden
            states in the backbone's compute dtype.
        upper: Keras model from a dictionary of `hidden_states` and `padding_mask`
            `[batch, length]` to the model's outputs.

    Raises:
        ValueError: if there is no such block, something below the cut is trained, or
            shared blocks are called on both sides of the cut.
    """

    def __init__(self, model: AdapterModel, num_blocks: int | None = None) -> None:
        backbone = model.backbone
        most = backbone.num_fixed_blocks
        num_blocks = most if num_blocks is None else num_blocks
        if not 1 <= num_blocks <= most:
            raise ValueError(
                "A frozen prefix must have from 1 block to as many as lie below all "
                f"that the model trains, which are {most}. Received: "
                f"num_blocks={num_blocks}"
            )
        self.model = model
        self.num_blocks = num_blocks
        num_calls = backbone.calls_below(num_blocks)
        if num_calls is None:
            raise ValueError(
                "A frozen prefix must end before every call of the blocks above it. "
                f"Received: num_blocks={num_blocks} of a backbone that calls its "
                f"blocks in the order {[index for index, _ in backbone.calls]}"
            )
        below = backbone.calls[num_calls - 1][1]
        outputs = named_outputs(backbone.output)
        self.lower = keras.Model(backbone.input, below)

        # === Functional Model ===
        mask = backbone.input[PADDING_MASK]
        inputs = {
            HIDDEN_STATES: keras.Input(
                below.shape[1:], dtype=below.dtype, name=HIDDEN_STATES
            ),
            PADDING_MASK: keras.Input(
                mask.shape[1:], dtype=mask.dtype, name=PADDING_MASK
            ),
        }
        names = sorted(model.encoded)
        encoded = [inputs[HIDDEN_STATES]] * len(names)
        # With all blocks below, the cut is at one of the backbone's outputs.
        rest = [i for i, n in enumerate(names) if outputs[n] is not below]
        if rest:
            made = [outputs[names[i]] for i in rest]
            blocks = keras.Model([below, mask], made)
            computed = blocks([inputs[HIDDEN_STATES], inputs[PADDING_MASK]])
            for i, value in zip(rest, computed, strict=True):
                encoded[i] = value
        ends = [model.encoded[n] for n in names]
        head = keras.Model([*ends, model.input[PADDING_MASK]], model.output)
        self.upper = keras.Model(inputs, head([*encoded, inputs[PADDING_MASK]]))

    @classmethod
    def of(cls, model: AdapterModel) -> Self | None:
        """Cut as high as possible; return `None` if the lowest block is trained."""
        return cls(model) if model.backbone.num_fixed_blocks else None

    @property
    def hidden_dim(self) -> int:
        """Size `d` of the hidden states."""
        return self.lower.output.shape[-1]

    @property
    def dtype(self) -> str:
        """Dtype of the hidden states: `"float32"` or `"bfloat16"`."""
        return keras.backend.standardize_dtype(self.lower.output.dtype)
