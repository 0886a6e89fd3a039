"""A version in a TF1 session, which is how TensorFlow Serving runs it."""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from types import TracebackType

import numpy as np
import tensorflow as tf

# Registers the ops of the tokenizer, without which the graph does not load.
import tensorflow_text  # noqa: F401

from adapters_tf.errors import UserError
from adapters_tf.export.deployment.signatures import (
    SERVE_TAG,
    read_meta_graph,
    signatures_of,
)


class ServingSession:
    """A SavedModel, loaded and run as TensorFlow Serving does it.

    A fresh graph and session, the graph tagged `serve`, variables and tables
    restored by the loader; a request feeds a signature's input tensors and
    fetches all of its outputs in one run. It is a context manager.

    Args:
        version_dir: A version of a servable, or any other SavedModel.

    Attributes:
        signatures: Name -> `Signature`.

    Raises:
        UserError: if there is no SavedModel tagged `serve`.
    """

    def __init__(self, version_dir: str | os.PathLike[str]) -> None:
        self.signatures = signatures_of(read_meta_graph(version_dir))
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        try:
            with graph.as_default(), _without_deprecations():
                tf.compat.v1.saved_model.loader.load(
                    self._session, [SERVE_TAG], os.fspath(version_dir)
                )
        except BaseException:
            self.close()
            raise

    def run(
        self, signature_name: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature; thread-safe.

        Args:
            signature_name: The signature; `""` is `serving_default`, as in the
                server.
            inputs: Input name -> array, `[batch, ...]`.

        Returns:
            Output name -> array, strings as bytes objects.

        Raises:
            UserError: if the signature is unknown, its inputs are others, or they
                differ in their number of rows.
        """
        name = signature_name or "serving_default"
        if name not in self.signatures:
            raise UserError(
                f"A request names a signature of the version. Received: {name!r}; it "
                f"has: {', '.join(self.signatures)}"
            )
        signature = self.signatures[name]
        if set(inputs) != set(signature.inputs):
            raise UserError(
                f"The inputs of {name!r} are {sorted(signature.inputs)}, each of which "
                f"must be given. Received: {sorted(inputs)}"
            )
        if len({np.shape(value)[:1] or None for value in inputs.values()}) != 1:
            # The server checks it where batching is on. Ops of TF.Text crash
            # the process on texts and pairs of different numbers.
            raise UserError(
                f"All inputs of {name!r} must have the same number of rows. Received: "
                f"{ {key: np.shape(value) for key, value in inputs.items()} }"
            )
        feeds = {signature.inputs[key].tensor: inputs[key] for key in inputs}
        fetches = {key: info.tensor for key, info in signature.outputs.items()}
        return self._session.run(fetches, feeds)

    def close(self) -> None:
        """Free the session and its variables."""
        self._session.close()

    def __enter__(self) -> "ServingSession":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextlib.contextmanager
def _without_deprecations() -> Iterator[None]:
    """Keep back TensorFlow's advice against its TF1 loader, which is meant here."""
    logger = tf.get_logger()

    def is_other(record: logging.LogRecord) -> bool:
        return "is deprecated" not in record.getMessage()

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)
