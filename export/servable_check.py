"""Compute the expected outputs of a servable's signatures from its parts."""

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.adapters import METHODS, AdapterMethod
from adapters_tf.export.adapter import task_of_adapter, task_shapes
from adapters_tf.export.bank import ExportedTask
from adapters_tf.export.base_functions import INPUTS
from adapters_tf.export.live_tasks import SUFFIX, TASKS_DIR
from adapters_tf.export.mixed_rows import BLANKS, OF_CLASSES
from adapters_tf.export.rows import SEPARATOR
from adapters_tf.export.saving import link_tree
from adapters_tf.export.self_check import SAMPLE_PAIRS, SAMPLE_TEXTS, Case
from adapters_tf.export.servable import (
    MIXED,
    LoadedBase,
    ServableOptions,
    longest_input,
)
from adapters_tf.export.servable_functions import (
    TaskTable,
    TextRows,
    num_texts,
    takes_pair,
)
from adapters_tf.export.task_file import task_bytes
from adapters_tf.export.task_layout import TaskLayout
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.kinds import kind_named
from adapters_tf.tasks.text_kind import head_features

Tasks = dict[str, ExportedTask]

# Maximum number of tasks whose own signatures are run, because each first run takes
# seconds. mixed_text runs rows of every task.
_OWN_SIGNATURES = 8
_ROWS_OF_MIXED = 64


def servable_cases(
    base: LoadedBase,
    tasks: dict[str, ExportedTask],
    changed: list[str],
    options: ServableOptions,
) -> list[Case]:
    """Return texts for every task, with the outputs of base and adapter without a bank.

    Args:
        base: The base.
        tasks: The servable's tasks.
        changed: Names of the added or replaced tasks, whose own signatures are run.
        options: What the servable is like.
    """
    own = changed[:_OWN_SIGNATURES] if options.task_signatures else []
    cases, rows = [], []
    for index, (name, task) in enumerate(tasks.items()):
        # Use two texts per task in mixed rows, and all texts for its own signatures.
        places = [(index + shift) % len(SAMPLE_TEXTS) for shift in range(2)]
        if name in own:
            places = list(range(len(SAMPLE_TEXTS)))
        texts = [SAMPLE_TEXTS[i] for i in places]
        others = max(num_texts(task.config) - 1, 1)
        pairs = [
            SEPARATOR.join(
                SAMPLE_PAIRS[(i + j) % len(SAMPLE_PAIRS)] for j in range(others)
            )
            for i in places
        ]
        expected, tokens, on_tokens = _expected(base, task, texts, pairs)
        rows += [
            (text, pair, name, {k: v[i] for k, v in expected.items()})
            for i, (text, pair) in enumerate(zip(texts[:2], pairs[:2], strict=True))
        ]
        if name in own:
            inputs = {"text": np.array(texts)}
            if takes_pair(task.config):
                inputs["text_pair"] = np.array(pairs)
            cases.append(Case(f"signatures/{name}_text", inputs, expected))
            cases.append(Case(f"signatures/{name}", tokens, on_tokens))
    rows.append(("a text", "", "", _embedding(base, "a text", options)))
    rows.append(("a text", "", "no_such_task", {}))
    for start in range(0, len(rows), _ROWS_OF_MIXED):
        of_case = rows[start : start + _ROWS_OF_MIXED]
        names = [name for _, _, name, _ in of_case if name in tasks]
        # A live servable knows only the tasks of the batch.
        widest = [tasks[name] for name in (names if options.live else tasks)]
        width = TaskTable.of_tasks(widest).num_classes if widest else 1
        cases.append(_mixed_case(of_case, tasks, width))
    return cases


def _embedding(base: LoadedBase, text: str, options: ServableOptions) -> dict[str, Any]:
    """Return what a text without a task gets, beside blanks."""
    if not options.embedding:
        return {}
    none = tf.constant([False])
    windows = base.preprocessor.windows(
        {
            "text": tf.constant([text]),
            "text_pair": tf.constant([""]),
            "has_pair": none,
            "is_question": none,
            "seq_lengths": tf.constant([longest_input(base.config)]),
        }
    )
    inputs = {name: windows[name] for name in INPUTS}
    outputs = {**base.model(inputs, training=False), **inputs}
    return {"embedding": head_features(options.embedding, outputs)[0].numpy()}


def _expected(
    base: LoadedBase, task: ExportedTask, texts: list[str], pairs: list[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the outputs for texts, their tokens, and the outputs for the tokens."""
    config, count = task.config, len(texts)
    kind = kind_named(config["kind"])
    inputs = {
        "text": tf.constant(texts),
        "text_pair": tf.constant(pairs),
        "has_pair": tf.fill([count], takes_pair(config)),
        "is_question": tf.fill([count], kind.layout == "question"),
        "seq_lengths": tf.fill([count], config["seq_length"]),
    }
    is_words, is_list = kind.layout == "words", num_texts(config) > 2
    if is_words or is_list:
        inputs["is_words"] = tf.fill([count], is_words)
        inputs["is_list"] = tf.fill([count], is_list)
        windows = base.preprocessor.all_windows(inputs)
    else:
        windows = base.preprocessor.windows(inputs)
    tokens = {name: windows[name] for name in INPUTS}
    encoder = {name: tf.constant(value) for name, value in task.encoder.items()}
    outputs = base.model.encode(tokens, encoder, training=False)
    features = kind.features(config["head"], outputs)
    logits = kind.logits(features, task.head, outputs["input_mask"])
    labels = tf.constant(list(config["task"].get("labels") or [""]))
    on_tokens = kind.token_outputs(logits, labels)
    rows = TextRows(base.preprocessor, windows, inputs["text"], inputs["text_pair"])
    on_texts = kind.text_outputs(on_tokens, rows)
    return _arrays(on_texts), _arrays(tokens), _arrays(on_tokens)


def _arrays(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: value.numpy() for name, value in tensors.items()}


def _mixed_case(
    rows: list[tuple[str, str, str, dict[str, Any]]],
    tasks: dict[str, ExportedTask],
    width: int,
) -> Case:
    texts, pairs, names, outputs = zip(*rows, strict=True)
    kinds = [tasks[name].config["kind"] if name in tasks else "" for name in names]
    kinds = [
        "embedding" if "embedding" in row else kind
        for row, kind in zip(outputs, kinds, strict=True)
    ]
    status = [
        "ok" if kind else "unknown task" if name else "no task"
        for name, kind in zip(names, kinds, strict=True)
    ]
    expected = {"status": np.array(status), "kind": np.array(kinds)}
    for name, blank in BLANKS.items():
        columns = width if name in OF_CLASSES else None
        expected[name] = _column(outputs, name, blank, columns)
    for name in {name for row in outputs for name in row} - set(BLANKS):
        value = next(row[name] for row in outputs if name in row)
        expected[name] = _column(outputs, name, _blank(value), None)
    inputs = {
        "text": np.array(texts),
        "text_pair": np.array(pairs),
        "task": np.array(names),
    }
    return Case(f"signatures/{MIXED}", inputs, expected)


def _blank(value: Any) -> Any:
    """Return the blank of `mixed_text` in a kind's outputs for other kinds' rows."""
    kind = np.asarray(value).dtype.kind
    return b"" if kind in "OS" else np.array(0 if kind == "f" else -1, value.dtype)


def _column(
    rows: Sequence[dict[str, Any]], name: str, blank: Any, width: int | None
) -> np.ndarray:
    """Stack an output of all rows: `[B]`, or padded to `[B, width]`.

    Args:
        rows: The outputs of each row.
        name: The output.
        blank: The value for rows without the output, and the padding.
        width: The second dimension; `None` for the longest row's, if any.
    """
    values = [np.asarray(row[name]) if name in row else None for row in rows]
    found = [value for value in values if value is not None]
    if isinstance(blank, str | bytes):
        dtype: Any = object
    else:
        dtype = found[0].dtype if found else np.asarray(blank).dtype
    if width is None and not any(value.ndim for value in found):
        return np.array([blank if v is None else v.item() for v in values], dtype)
    if width is None:
        # The row may be padded to a longer row of its batch.
        width = max(int(np.sum(value != blank)) for value in found)
    column = np.full((len(rows), width), blank, dtype)
    for place, value in enumerate(values):
        if value is not None:
            column[place, : len(value)] = value[:width]
    return column


# === Live servables ===


@contextlib.contextmanager
def live_copy(base: LoadedBase, directory: Path) -> Iterator[tuple[Path, Tasks]]:
    """Yield a copy of a version with live tasks of its own, one of each method.

    Args:
        base: The base.
        directory: The version. The copy, of hard links, is inside it for the time of
            the block.

    Yields:
        The copied version, and its live tasks by name.
    """
    servable = directory / "check"
    link_tree(directory, servable / "1")
    tasks, layout = {}, TaskLayout(base.layout)
    (servable / TASKS_DIR).mkdir()
    for method, config in METHODS.items():
        name = f"check_{method}"
        tasks[name] = _sample_task(base, config())
        path = servable / TASKS_DIR / f"{name}{SUFFIX}"
        path.write_bytes(task_bytes(tasks[name], layout))
    try:
        yield servable / "1", tasks
    finally:
        shutil.rmtree(servable)


def _sample_task(base: LoadedBase, config: AdapterMethod) -> ExportedTask:
    adapter = Adapter(
        tensors={},
        kind="classification",
        adapter=config,
        tuning=Tuning(),
        head={"num_classes": 3, "head_input": "cls", "dropout": 0.0},
        base_fingerprint=base.fingerprint,
        task={"labels": ["first", "second", "third"], "text_columns": ["text"]},
        seq_length=16,
    )
    random = np.random.default_rng(0)
    tensors = {
        name: (0.05 * random.normal(size=shape)).astype(np.float32)
        for name, shape in task_shapes(adapter, base.layout).items()
    }
    return task_of_adapter(dataclasses.replace(adapter, tensors=tensors), base.layout)
