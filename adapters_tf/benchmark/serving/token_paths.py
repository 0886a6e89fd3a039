"""A SavedModel with the ways to encode the same tokens, side by side."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from adapters_tf.export.bank import ExportedTask
from adapters_tf.export.base_functions import input_specs
from adapters_tf.export.servable import LoadedBase
from adapters_tf.export.servable_functions import ServableFunctions, encoder_inputs
from adapters_tf.export.task_table import TaskTable

PLAIN, PLAIN_TEXT, ONE, ROWS = "plain", "plain_text", "one", "rows"


def save_token_paths(
    base: LoadedBase, tasks: list[ExportedTask], directory: Path
) -> None:
    """Write it.

    A servable has no signature of the plain base, nor one of tokens with a task for
    each row. All of these return the pooled vector alone:

        plain       tokens: the base without any task
        plain_text  text: the same behind the servable's preprocessor
        one         tokens, task (`[B]`, all the same): all rows with this task (the
                    base's `encode`)
        rows        tokens, tasks: each row with its own (its `encode_rows`)

    Args:
        base: The base.
        tasks: The tasks, by index.
        directory: Where to.
    """
    root = tf.train.Checkpoint()
    root.base_variables = list(base.model.variables)
    bank = base.build_bank(tasks)
    root.bank = {key: tf.Variable(v, trainable=False) for key, v in bank.items()}
    functions = ServableFunctions(
        base.model,
        base.preprocessor,
        root.bank,
        TaskTable(tasks),
        base.layout,
        base.layout.forms_for(tasks),
    )
    rows_keys = [key for key in bank if not key.startswith("head/")]
    tokens = list(input_specs().values())

    def inputs_of(values: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(input_specs(), values, strict=True))

    def pooled(outputs: dict[str, Any]) -> dict[str, Any]:
        return {"pooled_output": outputs["pooled_output"]}

    def plain(input_word_ids: Any, input_mask: Any, input_type_ids: Any) -> Any:
        inputs = inputs_of((input_word_ids, input_mask, input_type_ids))
        return pooled(base.model(inputs, training=False))

    def plain_text(text: Any) -> Any:
        every = tf.ones(tf.shape(text), tf.int32)
        known = tf.cast(every, tf.bool)
        windows = functions.windows(text, tf.zeros_like(text), every - 1, known)
        return pooled(base.model(encoder_inputs(windows), training=False))

    def one(
        input_word_ids: Any, input_mask: Any, input_type_ids: Any, task: Any
    ) -> Any:
        inputs = inputs_of((input_word_ids, input_mask, input_type_ids))
        return pooled(functions.encode(inputs, task[0]))

    def rows(
        input_word_ids: Any, input_mask: Any, input_type_ids: Any, tasks: Any
    ) -> Any:
        inputs = inputs_of((input_word_ids, input_mask, input_type_ids))
        values = {key: tf.convert_to_tensor(root.bank[key]) for key in rows_keys}
        return pooled(base.model.encode_rows(inputs, values, tasks))

    text, index = tf.TensorSpec([None], tf.string, "text"), tf.TensorSpec([None])
    specs = {
        plain: tokens,
        plain_text: [text],
        one: [*tokens, tf.TensorSpec(index.shape, tf.int32, "task")],
        rows: [*tokens, tf.TensorSpec(index.shape, tf.int32, "tasks")],
    }
    names = (PLAIN, PLAIN_TEXT, ONE, ROWS)
    signatures = {
        name: tf.function(function, input_signature=spec)
        for name, (function, spec) in zip(names, specs.items(), strict=True)
    }
    tf.saved_model.save(root, str(directory), signatures=signatures)
