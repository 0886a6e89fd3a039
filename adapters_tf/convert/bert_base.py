"""The base of a conversion, which is a BERT."""

from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.errors import UserError
from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.fingerprint import BERT, backbone_name
from adapters_tf.models.presets import load_backbone


def load_bert(preset: str) -> AdapterBackbone:
    """The base in float32.

    Args:
        preset: See `load_backbone`, or `"demo"`.

    Raises:
        UserError: if it cannot be loaded or is no BERT: the names of its tensors
            elsewhere are not known here, and others would fit by their shapes.
    """
    base = load_backbone(resolve_preset(preset), dtype="float32")
    if backbone_name(base) != BERT:
        raise UserError(
            "Adapters are converted for BERT bases alone. Received: "
            f"{preset!r}, a {backbone_name(base)}"
        )
    return base
