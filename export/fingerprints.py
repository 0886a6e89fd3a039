"""Compare fingerprints of bases as tensors, inside a graph."""

from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.errors import UserError


def fingerprint_words(fingerprint: str | None) -> np.ndarray:
    """Convert a `base_fingerprint` to its 256 bits as `[4]` int64.

    XLA-compiled functions cannot take strings, so this uses numbers.

    Raises:
        UserError: if it is not a `base_fingerprint`.
    """
    try:
        algorithm, _, digits = (fingerprint or "").partition(":")
        if algorithm != "sha256":
            raise ValueError
        data = bytes.fromhex(digits)
        return np.frombuffer(data, ">i8", count=4).astype(np.int64)
    except ValueError as error:
        raise UserError(
            "A base that is exported needs a fingerprint of the form sha256:<64 hex "
            f"digits>. Received: {fingerprint!r}. Load the base with load_backbone."
        ) from error


def check_same_base(own: np.ndarray, other: Any) -> Any:
    """Return an op that fails if a task is for another base.

    Args:
        own: `fingerprint_words` of this base.
        other: `[4]` int64 fingerprint tensor of the task.
    """
    return tf.debugging.assert_equal(
        other,
        tf.constant(own),
        message=(
            "An adapter works only on the base it was trained on. The adapter's "
            "fingerprint (x) is not that of this base (y): load the base that its "
            "base_fingerprint() names, or train an adapter for this one."
        ),
    )
