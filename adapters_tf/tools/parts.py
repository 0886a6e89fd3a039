"""The parts that an adapter's tensors belong to."""

import re

# ALBERT's one block is its group 0; none was published with more in a group.
_BLOCK = re.compile(
    r"(?:transformer_layer_(\d+)|group_(\d+)_inner_layer_0)"
    r"/(attention|feed_forward)_adapter/"
)


def part_of(path: str) -> str:
    """The part of a variable, for people.

    Args:
        path: Its path, such as `transformer_layer_0/attention_adapter/...`.

    Returns:
        `"adapter of block 0, attention"`, `"LayerNorms"`, `"head"` or `"base"`.
    """
    if match := _BLOCK.match(path):
        block, sublayer = match[1] or match[2], match[3].replace("_", "-")
        return f"adapter of block {block}, {sublayer}"
    if path.endswith(("layer_norm/gamma", "layer_norm/beta")):
        return "LayerNorms"
    if path.startswith(("logits/", "head_hidden/")):
        return "head"
    return "base"


def block_of(path: str) -> int | None:
    """The block whose adapter a variable belongs to, or `None`."""
    match = _BLOCK.match(path)
    return int(match[1] or match[2]) if match else None
