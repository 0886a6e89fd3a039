"""Check that the stock TensorFlow Serving has every op that a version runs."""

import os
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import tensorflow as tf

from adapters_tf.export.session import INIT_SIGNATURE, read_meta_graph

# What tensorflow_model_server links besides TensorFlow's own ops: the server's
# BUILD file lists "@org_tensorflow_text//tensorflow_text:ops_lib" under
# SUPPORTED_TENSORFLOW_OPS (github.com/tensorflow/serving,
# tensorflow_serving/model_servers/BUILD, commit 008c02c). The ops below are
# those of that target (github.com/tensorflow/text, tensorflow_text/BUILD,
# commit 00e7737), as tensorflow-text 2.20 registers them. The server also links
# TensorFlow Decision Forests, whose ops no servable of this package uses.
TF_TEXT_OPS = frozenset(
    """
    CaseFoldUTF8 ConstrainedSequence FastBertNormalize
    FastWordpieceTokenizeWithOffsets FindSourceOffsets MaxSpanningTree NormalizeUTF8
    NormalizeUTF8WithOffsetsMap PhraseTokenize RegexSplitWithOffsets RougeL
    SentenceFragments SentenceFragmentsV2 SentencepieceDetokenizeOp
    SentencepieceIdToStringOp SentencepieceOp SentencepieceStringToIdOp
    SentencepieceTokenizeOp SentencepieceTokenizeWithOffsetsOp
    SentencepieceVocabSizeOp SplitMergeTokenizeWithOffsets TFText>BoiseTagsToOffsets
    TFText>ByteSplitByOffsets TFText>ByteSplitWithOffsets
    TFText>FastSentencepieceDetokenize TFText>FastSentencepieceTokenize
    TFText>FastWordpieceDetokenize TFText>NgramsStringJoin TFText>OffsetsToBoiseTags
    TFText>PhraseDetokenize TFText>RoundRobinGenerateMasks TFText>RoundRobinTrim
    TFText>Utf8Binarize TFText>WhitespaceTokenizeWithOffsetsV2 TokenizerFromLogits
    UnicodeScriptTokenizeWithOffsets WhitespaceTokenizeWithOffsets
    WordpieceTokenizeWithOffsets
    """.split()
)
# The server knows these ops, but they need a Python process to run.
PYTHON_OPS = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})


def stock_server_ops() -> frozenset[str]:
    """The ops of TensorFlow and TF.Text that the stock server can run.

    The build of TensorFlow fixes `tf.raw_ops`, so it does not contain the ops of
    libraries that this process has loaded.
    """
    core = {name for name in dir(tf.raw_ops) if not name.startswith("_")}
    return frozenset(core | TF_TEXT_OPS) - PYTHON_OPS


def unsupported_ops(
    version_dir: str | os.PathLike[str],
) -> dict[str, tuple[str, ...]]:
    """Find the ops that a version runs and the stock TensorFlow Serving lacks.

    The check covers every node that a signature's outputs, the initialization or the
    restoring of variables depend on, and all nodes of every function that they call,
    directly or through an attribute, however deep.

    Args:
        version_dir: A version of a servable, or any other SavedModel.

    Returns:
        Op -> its users: `"signature NAME"`, `"initialization"` or `"restore"`. Empty if
        the server has all ops. A call of a function that the SavedModel lacks counts as
        an op.

    Raises:
        UserError: if there is no SavedModel tagged `serve`.
    """
    meta_graph = read_meta_graph(version_dir)
    graph = meta_graph.graph_def
    nodes = {node.name: node for node in graph.node}
    # Do this once for each function: hundreds of signatures call the same ones.
    bodies = {f.signature.name: _called(f.node_def) for f in graph.library.function}
    known = stock_server_ops()
    missing: dict[str, set[str]] = {}
    for user, tensors in _roots(meta_graph):
        for op in _ops(_ancestors(tensors, nodes), bodies) - known:
            missing.setdefault(op, set()).add(user)
    return {op: tuple(sorted(users)) for op, users in sorted(missing.items())}


def _roots(meta_graph: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield `(user, its tensors or ops)` for everything that the server runs."""
    for name, signature in sorted(meta_graph.signature_def.items()):
        infos = [*signature.inputs.values(), *signature.outputs.values()]
        init = name == INIT_SIGNATURE
        yield "initialization" if init else f"signature {name}", [i.name for i in infos]
    for key in ("saved_model_main_op", "legacy_init_op"):
        if key in meta_graph.collection_def:
            collection = meta_graph.collection_def[key]
            yield "initialization", list(collection.node_list.value)
    saver = meta_graph.saver_def
    restore = [saver.restore_op_name, saver.filename_tensor_name]
    yield "restore", [name for name in restore if name]


def _ancestors(tensors: Iterable[str], nodes: dict[str, Any]) -> list[Any]:
    """Return the graph nodes that these tensors depend on, including their own."""
    found: dict[str, Any] = {}
    waiting = [_node_name(tensor) for tensor in tensors]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = nodes[name]
            waiting += [_node_name(tensor) for tensor in nodes[name].input]
    return list(found.values())


def _ops(nodes: Iterable[Any], bodies: dict[str, set[str]]) -> set[str]:
    """Return the ops of these nodes and of all functions they reach."""
    entered: set[str] = set()
    waiting = _called(nodes)
    while waiting:
        name = waiting.pop()
        entered.add(name)
        waiting |= bodies.get(name, set()) - entered
    return entered - set(bodies)


def _called(nodes: Iterable[Any]) -> set[str]:
    """Return the names of nodes' ops and of functions in their attributes."""
    names: set[str] = set()
    for node in nodes:
        # A node can also call a function by using its name as the op.
        names |= {node.op, *_function_names(node.attr.values())}
    return names


def _function_names(attributes: Collection[Any]) -> Iterator[str]:
    for value in attributes:
        functions = [value.func] if value.HasField("func") else value.list.func
        for function in functions:
            yield function.name
            yield from _function_names(function.attr.values())


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
