"""A SavedModel in a session, as TensorFlow Serving runs it."""

import os
import threading
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# Registers the ops of TF.Text, which the stock server links.
import tensorflow_text  # noqa: F401

from adapters_tf.export.server.signature import Signature


class SavedModel:
    """A SavedModel with the tag `serve`, loaded into a session of its own.

    A session and not `tf.saved_model.load`, because TensorFlow Serving has one:
    a model that only works in eager mode fails here as it would there. A session
    also runs just the outputs asked for, stops at a deadline, and frees its
    memory when closed.

    Args:
        directory: The version's directory, with saved_model.pb in it.

    Attributes:
        signatures: Signatures by name.

    Raises:
        Exception: Whatever TensorFlow raises for a directory it cannot load.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        graph = tf.Graph()
        config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
        # Two versions are in memory while one replaces the other.
        config.gpu_options.allow_growth = True
        with graph.as_default():
            self._session = tf.compat.v1.Session(graph=graph, config=config)
            try:
                meta_graph = tf.compat.v1.saved_model.loader.load(
                    self._session,
                    [tf.saved_model.SERVING],
                    os.fspath(directory),
                )
            except BaseException:
                self._session.close()
                raise
        graph.finalize()
        self.signatures = {
            name: Signature(name, definition)
            for name, definition in sorted(meta_graph.signature_def.items())
        }
        self._lock = threading.Lock()
        self._uses = 1  # the owner's

    def run(
        self,
        signature: Signature,
        inputs: dict[str, np.ndarray],
        outputs: Sequence[str],
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Run a signature.

        Args:
            signature: One of this model's.
            inputs: An array for each of its inputs, checked.
            outputs: The outputs to compute.
            timeout: Seconds after which the run is given up.

        Returns:
            The outputs; strings as `bytes` in an object array.

        Raises:
            tf.errors.OpError: What the graph raised.
        """
        options = None
        if timeout is not None:
            options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, int(timeout * 1000)))
        values = self._session.run(
            [signature.outputs[name].tensor for name in outputs],
            {signature.inputs[name].tensor: array for name, array in inputs.items()},
            options=options,
        )
        arrays = {}
        for name, value in zip(outputs, values, strict=True):
            dtype = signature.outputs[name].dtype
            # A scalar string arrives as bytes, which NumPy would cut at a zero.
            arrays[name] = np.asarray(
                value, object if dtype == tf.string else dtype.as_numpy_dtype
            )
        return arrays

    def acquire(self) -> None:
        """Add a user; the session stays open until every user has released it."""
        with self._lock:
            if not self._uses:
                raise RuntimeError("This version is closed.")
            self._uses += 1

    def release(self) -> None:
        """End a use; the last one closes the session."""
        with self._lock:
            self._uses -= 1
            last = not self._uses
        if last:
            self._session.close()

    @property
    def closed(self) -> bool:
        """Whether every user has released it."""
        return not self._uses
