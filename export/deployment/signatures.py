"""The signatures of a SavedModel, read without loading it."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from adapters_tf.errors import UserError

SERVE_TAG = "serve"
INIT_SIGNATURE = "__saved_model_init_op"
_MODEL_FILE = "saved_model.pb"
_SERVABLE_FILE = Path("assets.extra", "servable.json")


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """One input or output of a signature.

    Attributes:
        tensor: Its name in the graph.
        dtype: Its type.
        shape: Its shape, the unknown sizes `None`; `None` where the rank is
            unknown.
    """

    tensor: str
    dtype: tf.DType
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a signature by their names."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


def read_meta_graph(
    version_dir: str | os.PathLike[str],
) -> tf.compat.v1.MetaGraphDef:
    """The meta graph that TensorFlow Serving loads, the one tagged `serve`.

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


def signatures_of(meta_graph: tf.compat.v1.MetaGraphDef) -> dict[str, Signature]:
    """The signatures of a meta graph that clients can name."""
    return {
        name: Signature(_tensors(proto.inputs), _tensors(proto.outputs))
        for name, proto in sorted(meta_graph.signature_def.items())
        if name != INIT_SIGNATURE
    }


def read_signatures(version_dir: str | os.PathLike[str]) -> dict[str, Signature]:
    """The signatures of a SavedModel that clients can name.

    Raises:
        UserError: as `read_meta_graph`.
    """
    return signatures_of(read_meta_graph(version_dir))


def read_servable_json(version_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """What `assets.extra/servable.json` says of a version.

    Raises:
        UserError: if it is missing or lists no tasks.
    """
    path = Path(version_dir) / _SERVABLE_FILE
    try:
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content["tasks"], dict):
            raise TypeError("tasks is no object")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"A version of a servable lists its tasks in {_SERVABLE_FILE}. Received: "
            f"{path}: {type(error).__name__}: {error}. Write the version with "
            "adapters-tf-export."
        ) from error
    return content


def _tensors(protos: Any) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(info.name, tf.as_dtype(info.dtype), _shape(info.tensor_shape))
        for name, info in sorted(protos.items())
    }


def _shape(proto: Any) -> tuple[int | None, ...] | None:
    if proto.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in proto.dim)
