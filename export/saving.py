"""Write directories and SavedModels: the base's weights have a shard of their own.

Tracing a signature for each of hundreds of tasks takes minutes and gigabytes, because
every graph that calls a function infers and keeps the shapes in the function's whole
body. These graphs differ only in the task's index. So TensorFlow traces one signature
of each form, and `copy_signatures` copies it for the other tasks in `saved_model.pb`.
"""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import function_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

# Private; the test that counts traces fails if it changes.
from tensorflow.python.saved_model.save_context import save_context

from adapters_tf.errors import UserError
from adapters_tf.io import new_directory as _new_directory


@contextlib.contextmanager
def new_directory(
    path: str | os.PathLike[str], replace: bool = False
) -> Iterator[Path]:
    """Write a new directory as `io.new_directory` does, with helpful errors.

    Args:
        path: The final name; missing parents are created. Unless `replace` is true, it
            must be absent or an empty directory.
        replace: Whether to replace an existing directory.

    Raises:
        UserError: if the name is in use, or the files cannot be written.
    """
    path = Path(path)
    if not replace and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(
            f"The output directory must be new or empty. Received: {str(path)!r}, "
            "which exists; choose another one or remove it."
        )
    try:
        with _new_directory(path, replace) as temporary:
            yield temporary
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", error)
        raise UserError(f"{str(path)!r} could not be written: {reason}") from error


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it if the file system has no links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def link_tree(source: Path, target: Path) -> None:
    """Apply `link_or_copy` to every file of a directory."""
    for file in sorted(source.rglob("*")):
        if file.is_file():
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, copy)


# The format of the functions and configs of base and adapter SavedModels.
FORMAT_VERSION = 1
# Attributes that hold a base's variables, in a base and in a servable.
BASE_ATTRIBUTES = ("variables", "trainable_variables", "base_variables")
# The base's shard, the first of two. A base and its servables have the same bytes here.
BASE_SHARD = "variables/variables.data-00000-of-00002"
MODEL_FILE = "saved_model.pb"
# A fingerprint of `saved_model.pb`; no reader needs or compares it.
_FINGERPRINT_FILE = "fingerprint.pb"
# Name of the scalar int32 constant in the traced function that differs by task.
INDEX = "task_index"
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
# Infer shapes only inside the called function. Otherwise each start of a server would
# infer them again for every signature.
_NO_INFERENCE = "_disable_call_shape_inference"


class _BaseInFirstShard(tf.train.experimental.ShardingCallback):
    """Puts the base's tensors in the first shard and all others in the second."""

    @property
    def description(self) -> str:
        return "The base's tensors in a shard of their own."

    def __call__(
        self, shardable_tensors: Sequence[tf.train.experimental.ShardableTensor]
    ) -> list[dict[str, Any]]:
        shards: list[dict[str, Any]] = [{}, {}]
        for item in shardable_tensors:
            key = item.checkpoint_key
            shard = shards[0 if key.split("/")[0] in BASE_ATTRIBUTES else 1]
            shard.setdefault(key, {})[item.slice_spec] = item.tensor
        return shards


def save_with_base_shard(root: Any, directory: Path, signatures: Any = None) -> None:
    """Save a SavedModel with the base's variables in `BASE_SHARD`.

    Args:
        root: A trackable object; attributes named in `BASE_ATTRIBUTES` hold the
            base's variables.
        directory: Where to write.
        signatures: As in `tf.saved_model.save`.
    """
    options = tf.saved_model.SaveOptions(
        experimental_sharding_callback=_BaseInFirstShard()
    )
    tf.saved_model.save(root, str(directory), signatures=signatures, options=options)


def graph_function(function: Any, input_signature: Any = None) -> Any:
    """Return a `tf.function` without AutoGraph.

    No exported function has Python control flow on tensors, and AutoGraph's reading of
    all code below it took half of an export's time.
    """
    return tf.function(function, input_signature=input_signature, autograph=False)


def traced_for_saving() -> contextlib.AbstractContextManager[None]:
    """Return a block whose traces `tf.saved_model.save` writes as they are.

    TensorFlow's key of a trace tells whether it was made by `save`, so what is traced
    outside of such a block is traced a second time. Specs need names for the same
    reason: `save` asks for each trace by the names of its placeholders.
    """
    return save_context(tf.saved_model.SaveOptions())


def constant_function(value: Any) -> Any:
    """Return a traced function without arguments that returns `value`."""
    constant = tf.constant(value)
    return graph_function(lambda: tf.identity(constant), input_signature=[])


# === Copied signatures ===


@dataclasses.dataclass(frozen=True)
class SignatureCopy:
    """A signature to add.

    Attributes:
        name: Its name.
        template: The traced signature to copy.
        index: Its value of the constant `INDEX`.
    """

    name: str
    template: str
    index: int


def copy_signatures(
    directory: Path,
    copies: Sequence[SignatureCopy],
    same: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add signatures to a SavedModel on disk.

    Servers find them in the graph and its signature map, and so does
    `tf.saved_model.load`.

    Args:
        directory: The SavedModel. The template of each copy is the signature of a
            `tf.function` that takes its arguments in the order of their names and
            has one constant named `INDEX`.
        copies: The signatures to add.
        same: Name of a traced signature -> that of another of the same function, whose
            nodes in the graph it gets. A session prepares such nodes once.

    Raises:
        ValueError: if a template is of another form.
    """
    path = directory / MODEL_FILE
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    (meta_graph,) = model.meta_graphs
    _Copier(meta_graph).add(copies)
    for name, other in same.items():
        _use_nodes_of(meta_graph, name, other)
    _stop_inference(meta_graph)
    path.write_bytes(model.SerializeToString(deterministic=True))
    (directory / _FINGERPRINT_FILE).unlink(missing_ok=True)


class _Copier:
    def __init__(self, meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
        self._meta_graph = meta_graph
        self._graph = meta_graph.graph_def
        self._objects = meta_graph.object_graph_def
        self._nodes = {node.name: node for node in self._graph.node}
        self._functions = {f.signature.name: f for f in self._graph.library.function}
        root = self._objects.nodes[0]
        (place,) = (c.node_id for c in root.children if c.local_name == "signatures")
        self._signature_map = self._objects.nodes[place]
        # Do this before adding anything: growing a list can move its elements.
        self._places = {c.local_name: c.node_id for c in self._signature_map.children}

    def add(self, copies: Sequence[SignatureCopy]) -> None:
        for copy in copies:
            call = self._call_of(copy.template)
            wrapper = call.attr["f"].func.name
            inner = self._inner(copy.template, wrapper)
            function = self._add_function(inner, copy)
            self._add_to_graph(call, function, copy)
            self._add_to_objects(wrapper, function, copy)

    def _call_of(self, template: str) -> node_def_pb2.NodeDef:
        outputs = self._meta_graph.signature_def[template].outputs.values()
        names = {info.name.partition(":")[0] for info in outputs}
        calls = [self._nodes[name] for name in names]
        if len(calls) != 1 or calls[0].op not in _CALLS:
            raise ValueError(f"The outputs of {template!r} must be those of one call.")
        return calls[0]

    def _inner(self, template: str, wrapper: str) -> function_pb2.FunctionDef:
        """Find the traced function, which TensorFlow has put into a wrapper."""
        outer = self._functions[wrapper]
        (name,) = (n.attr["f"].func.name for n in outer.node_def if n.op in _CALLS)
        inner = self._functions[name]
        found = [node for node in inner.node_def if node.name == INDEX]
        arguments, wrapped = (
            [arg.name for arg in f.signature.input_arg] for f in (inner, outer)
        )
        count = len(self._meta_graph.signature_def[template].inputs)
        if len(found) != 1 or arguments[:count] != wrapped[:count]:
            raise ValueError(
                f"{template!r} must take its arguments in the order of their names and "
                f"have one constant named {INDEX!r}."
            )
        return inner

    def _add_function(
        self, inner: function_pb2.FunctionDef, copy: SignatureCopy
    ) -> str:
        function = self._graph.library.function.add()
        function.CopyFrom(inner)
        function.signature.name += f"_{copy.index}"
        for node in function.node_def:
            if node.name == INDEX:
                node.attr["value"].tensor.int_val[:] = [copy.index]
        _drop_hints(function)
        return function.signature.name

    def _add_to_graph(
        self, call: node_def_pb2.NodeDef, function: str, copy: SignatureCopy
    ) -> None:
        signature = self._meta_graph.signature_def[copy.name]
        signature.CopyFrom(self._meta_graph.signature_def[copy.template])
        renamed = {call.name: f"{copy.name}/call"}
        for name, info in signature.inputs.items():
            node, _, output = info.name.partition(":")
            renamed[node] = f"{copy.name}/{name}"
            placeholder = self._graph.node.add()
            placeholder.CopyFrom(self._nodes[node])
            placeholder.name = renamed[node]
            info.name = f"{renamed[node]}:{output}"
        for info in signature.outputs.values():
            info.name = f"{renamed[call.name]}:{info.name.partition(':')[2]}"
        copied = self._graph.node.add()
        copied.CopyFrom(call)
        copied.name = renamed[call.name]
        copied.input[:] = [renamed.get(name, name) for name in call.input]
        copied.attr["f"].func.name = function

    def _add_to_objects(self, wrapper: str, function: str, copy: SignatureCopy) -> None:
        known = self._objects.concrete_functions
        known[function].CopyFrom(known[wrapper])
        place = len(self._objects.nodes)
        node = self._objects.nodes.add()
        node.CopyFrom(self._objects.nodes[self._places[copy.template]])
        node.bare_concrete_function.concrete_function_name = function
        self._signature_map.children.add(node_id=place, local_name=copy.name)


def _use_nodes_of(
    meta_graph: meta_graph_pb2.MetaGraphDef, name: str, other: str
) -> None:
    signature = meta_graph.signature_def[name]
    tensors = [*signature.inputs.values(), *signature.outputs.values()]
    unused = {info.name.partition(":")[0] for info in tensors}
    kept = [node for node in meta_graph.graph_def.node if node.name not in unused]
    kept = [node_def_pb2.NodeDef.FromString(n.SerializeToString()) for n in kept]
    del meta_graph.graph_def.node[:]
    meta_graph.graph_def.node.extend(kept)
    signature.CopyFrom(meta_graph.signature_def[other])


def _drop_hints(function: function_pb2.FunctionDef) -> None:
    """Remove the shapes and names that only inference and error messages read.

    They are most of a function's bytes, and a session copies all functions many times
    for each called signature.
    """
    function.arg_attr.clear()
    function.attr.pop("_input_shapes", None)
    for argument in function.signature.input_arg:
        argument.ClearField("handle_data")
    for node in function.node_def:
        node.attr.pop("_output_shapes", None)


def _stop_inference(meta_graph: Any) -> None:
    graph = meta_graph.graph_def
    users = {node.attr["f"].func.name for node in graph.node if node.op in _CALLS}
    bodies = [f.node_def for f in graph.library.function if f.signature.name in users]
    for nodes in [graph.node, *bodies]:
        for node in nodes:
            if node.op in _CALLS:
                node.attr[_NO_INFERENCE].b = True
