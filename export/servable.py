"""Writing one version of a servable."""

import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from adapters_tf.errors import UserError
from adapters_tf.export.bank import ExportedTask, build_bank
from adapters_tf.export.base_functions import input_specs
from adapters_tf.export.combine import load_exported
from adapters_tf.export.deployment.op_check import unsupported_ops
from adapters_tf.export.directories import link_or_copy, sha256_of
from adapters_tf.export.mixed_rows import MixedRows
from adapters_tf.export.preprocessor import PREPROCESSOR_DIR
from adapters_tf.export.saving import BASE_SHARD, save_with_base_shard
from adapters_tf.export.servable_functions import ServableFunctions
from adapters_tf.export.task_table import TaskTable, takes_pair

FORMAT_VERSION = 1
SERVABLE_FILE = Path("assets.extra", "servable.json")
# Signatures that are of no single task.
MIXED, DEFAULT = "mixed_text", "serving_default"


class LoadedBase:
    """A servable's base SavedModel with its preprocessor.

    Args:
        directory: Written by `export_base`.

    Raises:
        UserError: if it is not one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.model = load_exported(directory, "base")
        self.preprocessor = load_exported(directory / PREPROCESSOR_DIR, "preprocessor")
        self.config: dict[str, Any] = json.loads(self.model.config().numpy())

    def build_bank(self, tasks: list[ExportedTask]) -> dict[str, Any]:
        """`build_bank` for tasks of this base."""
        config = self.config
        return build_bank(
            tasks,
            config["adapter_paths"],
            config["layer_norm_paths"],
            config["hidden_dim"],
        )


def save_version(
    base: LoadedBase, tasks: dict[str, ExportedTask], directory: Path
) -> None:
    """Write the SavedModel and what is in `servable.json`, unchecked.

    The shard of the base's weights is the base's own file under a second name.

    Args:
        base: The base.
        tasks: Name -> task; at least one.
        directory: Where to.

    Raises:
        UserError: if the stock TensorFlow Serving lacks an op of it.
    """
    names = list(tasks)
    root = tf.train.Checkpoint()
    root.base_variables = list(base.model.variables)
    bank = base.build_bank(list(tasks.values()))
    root.bank = {key: tf.Variable(v, trainable=False) for key, v in bank.items()}
    root.lookup = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(names), tf.range(len(names)), tf.string, tf.int32
        ),
        default_value=-1,
    )
    signatures = _signatures(base, list(tasks.values()), names, root)
    save_with_base_shard(root, directory, signatures)
    _share_base_shard(base.directory, directory)
    path = directory / SERVABLE_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(_about(base, tasks), indent=1) + "\n")
    missing = unsupported_ops(directory)
    if missing:
        raise UserError(f"TensorFlow Serving lacks ops of this servable: {missing}")


def _share_base_shard(base_dir: Path, directory: Path) -> None:
    own, written = base_dir / BASE_SHARD, directory / BASE_SHARD
    if sha256_of(own) != sha256_of(written):
        raise UserError(
            f"{own} does not hold the weights that were read from it: the base "
            "SavedModel was changed or is corrupt. Export the base again."
        )
    link_or_copy(own, written)


def _about(base: LoadedBase, tasks: dict[str, ExportedTask]) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "base_fingerprint": base.config["fingerprint"],
        "base_shard_sha256": sha256_of(base.directory / BASE_SHARD),
        "seq_length": max(task.config["seq_length"] for task in tasks.values()),
        "tasks": {
            name: {
                # Its place in the bank: objects in JSON have no order.
                "index": index,
                "kind": task.config["kind"],
                "labels": task.config["task"].get("labels", []),
                "text_columns": task.config["task"].get("text_columns", []),
                "config": task.config,
            }
            for index, (name, task) in enumerate(tasks.items())
        },
    }


def _signatures(
    base: LoadedBase, tasks: list[ExportedTask], names: list[str], root: Any
) -> dict[str, Any]:
    table = TaskTable(tasks)
    config = base.config
    functions = ServableFunctions(
        base.model,
        base.preprocessor,
        root.bank,
        table,
        config["adapter_paths"],
        config["layer_norm_paths"],
    )
    keys = [key for key in root.bank if not key.startswith("head/")]
    mixed = MixedRows(functions, base.model, root.bank, keys, table, root.lookup)
    strings = _strings("text"), _strings("text_pair")
    signatures: dict[str, Any] = {}
    shared = {kind: _SharedFunctions(functions, kind) for kind in set(table.kinds)}
    for index, (name, task) in enumerate(zip(names, tasks, strict=True)):
        one = shared[task.config["kind"]]
        signatures[name] = tf.function(
            one.tokens_of(index), input_signature=list(input_specs().values())
        )
        pair = takes_pair(task.config)
        signatures[f"{name}_text"] = tf.function(
            one.texts_of(index, pair), input_signature=strings[: 1 + pair]
        )
    signatures[MIXED] = tf.function(
        mixed.__call__, input_signature=[*strings, _strings("task")]
    )
    signatures[DEFAULT] = signatures[MIXED]
    return signatures


def _strings(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.string, name=name)


class _SharedFunctions:
    """The two functions of a kind, traced once for all of its tasks."""

    def __init__(self, functions: ServableFunctions, kind: str) -> None:
        index = tf.TensorSpec([], tf.int32)
        self._tokens = tf.function(
            functions.on_tokens(kind), input_signature=[input_specs(), index]
        )
        self._texts = tf.function(
            lambda text, text_pair, task: functions.on_texts(
                kind, text, text_pair, task
            ),
            input_signature=[_strings("text"), _strings("text_pair"), index],
        )

    def tokens_of(self, index: int) -> Any:
        def on_tokens(input_word_ids: Any, input_mask: Any, input_type_ids: Any) -> Any:
            inputs = {
                "input_word_ids": input_word_ids,
                "input_mask": input_mask,
                "input_type_ids": input_type_ids,
            }
            return self._tokens(inputs, tf.constant(index))

        return on_tokens

    def texts_of(self, index: int, pair: bool) -> Any:
        if pair:
            return lambda text, text_pair: self._texts(
                text, text_pair, tf.constant(index)
            )
        return lambda text: self._texts(text, tf.zeros_like(text), tf.constant(index))
