"""The name of a row's hidden states: all that they follow from."""

import hashlib
import json

import tensorflow as tf

from adapters_tf.models.features import Features
from adapters_tf.models.fingerprint import prefix_fingerprint
from adapters_tf.models.frozen_prefix import FrozenPrefix

# To be raised when the hidden states of a row, or how they are kept, change.
FORMAT = 1


class RowKeys:
    """Gives each row a key of 20 bytes.

    A hash over the base's weights below the cut, the number of blocks, the dtype, the
    kind of device and the row's tokens. The text, the tokenizer and the longest input
    show in the tokens, so equal rows of several files and tasks share a key.

    Args:
        prefix: The model, cut. The weights below the cut are read here, once.
    """

    def __init__(self, prefix: FrozenPrefix) -> None:
        about = {
            "format": FORMAT,
            "base": prefix_fingerprint(prefix.model.backbone, prefix.num_blocks),
            "num_blocks": prefix.num_blocks,
            "dtype": prefix.dtype,
            "device": _device(),
        }
        text = json.dumps(about, sort_keys=True)
        self._start = hashlib.blake2b(text.encode(), digest_size=20)

    def __call__(self, features: Features) -> list[bytes]:
        """The keys of these rows, in their order."""
        keys, ends = [], features.offsets
        for first, last in zip(ends[:-1], ends[1:], strict=True):
            digest = self._start.copy()
            digest.update(features.token_ids[first:last].tobytes())
            if features.segment_ids is not None:
                digest.update(features.segment_ids[first:last].tobytes())
            keys.append(digest.digest())
        return keys


def _device() -> str:
    # Another device multiplies in another precision.
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    details = tf.config.experimental.get_device_details(gpus[0])
    return details.get("device_name", "GPU")
