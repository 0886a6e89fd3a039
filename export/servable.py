"""Write a version of a servable: its SavedModel and `servable.json`."""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf

from adapters_tf.errors import UserError
from adapters_tf.export.bank import (
    BankLayout,
    ExportedTask,
    blank_task,
    build_bank,
)
from adapters_tf.export.base_functions import input_specs
from adapters_tf.export.combine import load_exported
from adapters_tf.export.describe import FILES, FORMAT_VERSION, SERVABLE_FILE
from adapters_tf.export.live_tasks import ANCHOR, HEAD_INPUTS, LiveTasks
from adapters_tf.export.mixed_rows import BankTasks, Embedding, MixedRows
from adapters_tf.export.op_check import unsupported_ops
from adapters_tf.export.preprocessor import PREPROCESSOR_DIR
from adapters_tf.export.saving import (
    BASE_SHARD,
    INDEX,
    SignatureCopy,
    copy_signatures,
    graph_function,
    link_or_copy,
    save_with_base_shard,
)
from adapters_tf.export.servable_functions import (
    ServableFunctions,
    TaskTable,
    takes_pair,
)
from adapters_tf.export.task_file import task_bytes
from adapters_tf.export.task_layout import TaskLayout
from adapters_tf.io import file_sha256
from adapters_tf.tasks.kinds import kinds

# The signatures for rows of any task.
MIXED, DEFAULT = "mixed_text", "serving_default"


@dataclasses.dataclass(frozen=True)
class ServableOptions:
    """What a servable is like, in all of its versions.

    Args:
        task_signatures: Whether each task has its own signatures in addition to
            `mixed_text`.
        live: Whether the graph reads tasks from files beside the versions.
        embedding: What rows without a task get from the base: "cls", the first token's
            vector, "pooled", "mean", the mean of all tokens' vectors, or `None` for
            nothing.
    """

    task_signatures: bool = True
    live: bool = False
    embedding: str | None = None

    def __post_init__(self) -> None:
        if self.embedding not in (None, *HEAD_INPUTS):
            raise UserError(
                f"embedding must be one of {', '.join(HEAD_INPUTS)}, or None. "
                f"Received: embedding={self.embedding!r}"
            )


def read_options(about: dict[str, Any]) -> ServableOptions:
    """Read the options of a version from its `servable.json`."""
    fields = dataclasses.fields(ServableOptions)
    return ServableOptions(**{field.name: about[field.name] for field in fields})


class LoadedBase:
    """A servable's base SavedModel with its preprocessor.

    Args:
        directory: Written by `export_base`.

    Raises:
        UserError: if it is not a base SavedModel.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.model = load_exported(directory, "base")
        self.preprocessor = load_exported(directory / PREPROCESSOR_DIR, "preprocessor")
        self.config: dict[str, Any] = json.loads(self.model.config().numpy())
        self.fingerprint: str = self.config["fingerprint"]
        self.layout = BankLayout.of_base(self.config)

    def build_bank(self, tasks: list[ExportedTask]) -> dict[str, Any]:
        """Run `build_bank` for tasks of this base."""
        return build_bank(tasks, self.layout)


def save_version(
    base: LoadedBase,
    tasks: dict[str, ExportedTask],
    directory: Path,
    options: ServableOptions = ServableOptions(),
) -> None:
    """Write the SavedModel and `servable.json` of a version without checking them.

    The shard of the base's weights is a hard link to the base's file, if possible.

    Args:
        base: The base.
        tasks: Name -> task; at least one, unless tasks are live.
        directory: Where to write.
        options: What the servable is like.

    Raises:
        UserError: if the stock TensorFlow Serving lacks one of its ops.
    """
    names = list(tasks)
    root = tf.train.Checkpoint()
    root.base_variables = list(base.model.variables)
    # Lookup tables or the model of tokenizers other than WordPiece.
    root.tokenizer = getattr(base.preprocessor, "tokenizer", None)
    in_bank = list(tasks.values())
    if options.embedding and not options.live:
        # Rows without a task run it; live tasks always have one.
        in_bank.append(blank_task(base.layout, in_bank[0]))
    bank = _live_bank(base, tasks) if options.live else base.build_bank(in_bank)
    root.bank = {key: tf.Variable(v, trainable=False) for key, v in bank.items()}
    root.lookup = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            # A table cannot be empty, and no task has an empty name.
            tf.constant(["", *names]),
            tf.range(-1, len(names)),
            tf.string,
            tf.int32,
        ),
        default_value=-1,
    )
    with tempfile.TemporaryDirectory() as scratch:
        if options.live:
            anchor = Path(scratch, ANCHOR)
            anchor.write_text("The graph finds the folder of live tasks from here.\n")
            root.anchor = tf.saved_model.Asset(str(anchor))
        signatures, copies = _signatures(base, tasks, in_bank, root, options)
        save_with_base_shard(root, directory, signatures)
    copy_signatures(directory, copies, same={DEFAULT: MIXED})
    _share_base_shard(base.directory, directory)
    path = directory / SERVABLE_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(_about(base, tasks, options), indent=1) + "\n")
    missing = unsupported_ops(directory)
    if missing:
        raise UserError(f"TensorFlow Serving lacks ops of this servable: {missing}")


def _live_bank(base: LoadedBase, tasks: dict[str, ExportedTask]) -> dict[str, Any]:
    layout = TaskLayout(base.layout)
    files = [task_bytes(task, layout) for task in tasks.values()]
    return {FILES: tf.constant(files, tf.string)}


def _share_base_shard(base_dir: Path, directory: Path) -> None:
    own, written = base_dir / BASE_SHARD, directory / BASE_SHARD
    if file_sha256(own) != file_sha256(written):
        raise UserError(
            f"{own} does not hold the weights that were read from it: the base "
            "SavedModel was changed or is corrupt. Export the base again."
        )
    link_or_copy(own, written)


def _about(
    base: LoadedBase, tasks: dict[str, ExportedTask], options: ServableOptions
) -> dict[str, Any]:
    lengths = [task.config["seq_length"] for task in tasks.values()]
    # What the files of live tasks depend on.
    graph = {"layout": dataclasses.asdict(base.layout), "kinds": list(kinds())}
    return {
        "format_version": FORMAT_VERSION,
        **(graph if options.live else {}),
        "base_fingerprint": base.fingerprint,
        "base_shard_sha256": file_sha256(base.directory / BASE_SHARD),
        **dataclasses.asdict(options),
        "seq_length": max(lengths, default=128),
        "tasks": {
            name: {
                # The index in the bank, because JSON objects have no order.
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
    base: LoadedBase,
    tasks: dict[str, ExportedTask],
    in_bank: list[ExportedTask],
    root: Any,
    options: ServableOptions,
) -> tuple[dict[str, Any], list[SignatureCopy]]:
    """Return the signatures to trace and the copies to make of them."""
    signatures: dict[str, Any] = {}
    copies: list[SignatureCopy] = []
    if options.live:
        files, anchor = root.bank[FILES], root.anchor.asset_path
        layout = TaskLayout(base.layout)
        find = LiveTasks(layout, base.fingerprint, root.lookup, files, anchor).find
    else:
        table = TaskTable.of_tasks(in_bank)
        _check_can_cut(base, table)
        blank = len(tasks) if options.embedding else 0
        find = BankTasks(root.bank, table, root.lookup, blank).find
    if options.task_signatures:
        signatures, copies = _own_signatures(base, tasks, root.bank, table)
    embedding = None
    if options.embedding:
        embedding = Embedding(options.embedding, longest_input(base.config))
    mixed = MixedRows(base.model, base.preprocessor, find, embedding)
    strings = [_strings(name) for name in ("text", "text_pair", "task")]
    signatures[MIXED] = graph_function(mixed.__call__, input_signature=strings)
    signatures[DEFAULT] = signatures[MIXED]
    return signatures, copies


def longest_input(config: dict[str, Any]) -> int:
    """Return the tokens of the longest text that a base embeds.

    Args:
        config: The base's `config()`.
    """
    return config["max_sequence_length"] or _LONGEST_INPUT


# For bases without a number of positions.
_LONGEST_INPUT = 512


def _check_can_cut(base: LoadedBase, table: TaskTable) -> None:
    if table.needs_all_windows and not hasattr(base.preprocessor, "all_windows"):
        raise UserError(
            "Tasks with tags of words, or with more than two text columns, need a base "
            f"that can cut texts so. Received: {base.directory}, written by an older "
            "adapters-tf; export the base again."
        )


def _own_signatures(
    base: LoadedBase,
    tasks: dict[str, ExportedTask],
    bank: dict[str, Any],
    table: TaskTable,
) -> tuple[dict[str, Any], list[SignatureCopy]]:
    """Return the tasks' own signatures to trace and the copies to make of them."""
    forms = base.layout.forms_for(list(tasks.values()))
    functions = ServableFunctions(
        base.model, base.preprocessor, bank, table, base.layout, forms
    )
    strings = _strings("text"), _strings("text_pair")
    signatures: dict[str, Any] = {}
    copies: list[SignatureCopy] = []
    first: dict[tuple[str, bool], str] = {}
    for index, (name, task) in enumerate(tasks.items()):
        kind, pair = task.config["kind"], takes_pair(task.config)
        template = first.setdefault((kind, pair), name)
        if template != name:
            copies += [
                SignatureCopy(name, template, index),
                SignatureCopy(f"{name}_text", f"{template}_text", index),
            ]
            continue
        signatures[name] = graph_function(
            _on_tokens(functions, kind, index),
            # Sorted by name, as `copy_signatures` requires.
            input_signature=[spec for _, spec in sorted(input_specs().items())],
        )
        signatures[f"{name}_text"] = graph_function(
            _on_texts(functions, kind, index, pair),
            input_signature=strings[: 1 + pair],
        )
    return signatures, copies


def _strings(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.string, name=name)


def _on_tokens(functions: ServableFunctions, kind: str, index: int) -> Any:
    run = graph_function(
        functions.on_tokens(kind),
        input_signature=[input_specs(), tf.TensorSpec([], tf.int32)],
    )

    def on_tokens(input_mask: Any, input_type_ids: Any, input_word_ids: Any) -> Any:
        inputs = {
            "input_word_ids": input_word_ids,
            "input_mask": input_mask,
            "input_type_ids": input_type_ids,
        }
        return run(inputs, tf.constant(index, name=INDEX))

    return on_tokens


def _on_texts(functions: ServableFunctions, kind: str, index: int, pair: bool) -> Any:
    run = graph_function(
        lambda text, text_pair, task: functions.on_texts(kind, text, text_pair, task),
        input_signature=[
            _strings("text"),
            _strings("text_pair"),
            tf.TensorSpec([], tf.int32),
        ],
    )

    def on_text(text: Any) -> Any:
        return run(text, tf.zeros_like(text), tf.constant(index, name=INDEX))

    def on_texts(text: Any, text_pair: Any) -> Any:
        return run(text, text_pair, tf.constant(index, name=INDEX))

    return on_texts if pair else on_text
