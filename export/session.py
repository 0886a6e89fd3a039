"""Load a SavedModel as TensorFlow Serving does: its signatures, in a session."""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tensorflow as tf

# Registers the tokenizer's ops. Without them the graph does not load.
import tensorflow_text  # noqa: F401
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import ops

from adapters_tf.errors import UserError

SERVE_TAG = "serve"
# The signature for requests that name none.
DEFAULT_SIGNATURE = "serving_default"
# An entry of the signature map that initialises the graph; clients cannot call it.
INIT_SIGNATURE = "__saved_model_init_op"
_MODEL_FILE = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature.

    Attributes:
        tensor: Its name in the graph.
        dtype: Its type.
        shape: Its shape; a size, or the rank, may be unknown.
    """

    tensor: str
    dtype: tf.DType
    shape: tf.TensorShape


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature's inputs and outputs by name.

    Attributes:
        inputs: The inputs.
        outputs: The outputs.
        definition: Its `SignatureDef`; `None` for one made by hand.
    """

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    definition: Any = None


def read_meta_graph(
    version_dir: str | os.PathLike[str],
) -> tf.compat.v1.MetaGraphDef:
    """Read the meta graph that TensorFlow Serving loads, the one tagged `serve`.

    Args:
        version_dir: A version of a servable, or any other SavedModel.

    Raises:
        UserError: if there is no SavedModel, or none with that tag.
    """
    path = Path(version_dir) / _MODEL_FILE
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise UserError(
            f"A version directory holds a {_MODEL_FILE}. Received: {path}: {error}"
        ) from error
    for meta_graph in model.meta_graphs:
        if list(meta_graph.meta_info_def.tags) == [SERVE_TAG]:
            return meta_graph
    tags = [list(meta_graph.meta_info_def.tags) for meta_graph in model.meta_graphs]
    raise UserError(
        f"TensorFlow Serving loads the graph tagged [{SERVE_TAG!r}]. Received: {path} "
        f"with {tags}. Export it with tf.saved_model.save."
    )


def _entries(meta_graph: tf.compat.v1.MetaGraphDef) -> dict[str, Signature]:
    """The signature map of a meta graph, sorted by name."""
    return {
        name: Signature(_tensors(proto.inputs), _tensors(proto.outputs), proto)
        for name, proto in sorted(meta_graph.signature_def.items())
    }


def read_signatures(version_dir: str | os.PathLike[str]) -> dict[str, Signature]:
    """Read the signatures that clients can call, without loading the SavedModel.

    Raises:
        UserError: see `read_meta_graph`.
    """
    return _callable(_entries(read_meta_graph(version_dir)))


def _callable(entries: dict[str, Signature]) -> dict[str, Signature]:
    return {name: entry for name, entry in entries.items() if name != INIT_SIGNATURE}


def _tensors(protos: Any) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(
            info.name, tf.as_dtype(info.dtype), tf.TensorShape(info.tensor_shape)
        )
        for name, info in sorted(protos.items())
        # The initialiser's output is an op without a dtype; a composite tensor has no
        # single name.
        if info.name and info.dtype
    }


class ServingSession:
    """A SavedModel in a TF1 session, which is how TensorFlow Serving runs it.

    A model that works only in eager mode fails here, as on the server. The session
    computes only the requested outputs, stops at a time limit, and frees its memory
    when closed. It is a context manager, and its methods are thread-safe.

    Args:
        version_dir: A version of a servable, or any other SavedModel.
        threads: Threads that one operation may use; `None` for all cores. The first
            session of a process decides for all.

    Attributes:
        signatures: The signatures that clients can call, by name.
        entries: Every entry of the signature map, including the initialiser's.

    Raises:
        UserError: if there is no SavedModel tagged `serve`.
        tf.errors.OpError: if TensorFlow cannot load it.
    """

    def __init__(
        self, version_dir: str | os.PathLike[str], threads: int | None = None
    ) -> None:
        config = tf.compat.v1.ConfigProto(
            allow_soft_placement=True, intra_op_parallelism_threads=threads or 0
        )
        # While a server replaces a version, two versions share the GPU's memory.
        config.gpu_options.allow_growth = True
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        try:
            with graph.as_default(), _without_deprecations():
                meta_graph = tf.compat.v1.saved_model.loader.load(
                    self._session, [SERVE_TAG], os.fspath(version_dir)
                )
        except BaseException as error:
            self.close()
            if isinstance(error, OSError | RuntimeError):
                # Raises a clear error if the directory is the problem.
                read_meta_graph(version_dir)
            raise
        graph.finalize()
        self.entries = _entries(meta_graph)
        self.signatures = _callable(self.entries)

    def run(
        self, signature_name: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Check the inputs of a signature and compute all of its outputs.

        Args:
            signature_name: The signature; `""` is `serving_default`, as on the server.
            inputs: Input name -> array `[batch, ...]`.

        Returns:
            Output name -> array; strings as `bytes` in an object array.

        Raises:
            UserError: if the signature is unknown, its inputs have other names, or
                they differ in their number of rows.
        """
        name = signature_name or DEFAULT_SIGNATURE
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
            # With batching on, the server makes this check. TF.Text's ops crash the
            # process when texts and pairs differ in number.
            raise UserError(
                f"All inputs of {name!r} must have the same number of rows. Received: "
                f"{ {key: np.shape(value) for key, value in inputs.items()} }"
            )
        return self.compute(signature, inputs, list(signature.outputs))

    def compute(
        self,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Compute some outputs of a signature without checking the inputs.

        Args:
            signature: A signature of this model.
            inputs: An array for each of its inputs.
            outputs: Names of the outputs to compute.
            timeout: Seconds after which the run stops.

        Returns:
            As `run`.

        Raises:
            tf.errors.OpError: what the graph raises.
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
            # Scalar strings are bytes, which NumPy would cut at a zero byte.
            arrays[name] = np.asarray(
                value, object if dtype == tf.string else dtype.as_numpy_dtype
            )
        return arrays

    def close(self) -> None:
        """Free the session, its variables and its graph."""
        graph = self._session.graph
        self._session.close()
        # A graph and its operations refer to each other. Python would free them late,
        # and each reload of a server would keep tens of megabytes until then.
        ops.dismantle_graph(graph)

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
    """Hide TensorFlow's deprecation warning for the TF1 loader used here."""
    logger = tf.get_logger()

    def is_other(record: logging.LogRecord) -> bool:
        return "is deprecated" not in record.getMessage()

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)
