"""A signature's outputs as the records that `adapters-tf-predict` writes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from adapters_tf.export.rows import Row
from adapters_tf.tasks.task import Kind, Task
from adapters_tf.training.class_records import class_record, label_set_record
from adapters_tf.training.tag_records import sentence_record

_Outputs = Mapping[str, np.ndarray]


def records_of(
    task: Task, outputs: _Outputs, rows: Sequence[Row]
) -> list[dict[str, Any]]:
    """The record of each row: see `Evaluator.predictions`.

    Args:
        task: The task, of one of the kinds of `RECORDS`.
        outputs: Of the task's signature of texts by name, `[rows, ...]` each.
        rows: The rows that they are of.
    """
    record = RECORDS[task.kind]
    return [
        record(task, {name: values[i] for name, values in outputs.items()}, row)
        for i, row in enumerate(rows)
    ]


def _class(task: Task, outputs: _Outputs, row: Row) -> dict[str, Any]:
    return class_record(task.labels, outputs["probabilities"])


def _label_set(task: Task, outputs: _Outputs, row: Row) -> dict[str, Any]:
    return label_set_record(task.labels, outputs["probabilities"])


def _score(task: Task, outputs: _Outputs, row: Row) -> dict[str, Any]:
    return {"score": float(outputs["score"])}


def _answer(task: Task, outputs: Mapping[str, Any], row: Row) -> dict[str, Any]:
    return {
        "id": row.row_id,
        "answer": outputs["answer"].decode(),
        "start": int(outputs["answer_start"]),
        "score": float(outputs["score"]),
    }


def _sentence(task: Task, outputs: _Outputs, row: Row) -> dict[str, Any]:
    words = row.words
    # The signature leaves words out that were not read, and says where the others are.
    begins = np.cumsum([0, *(len(word) + 1 for word in words)])
    place = {int(begin): i for i, begin in enumerate(begins[:-1])}
    read = outputs["word_starts"] >= 0
    return sentence_record(
        words,
        [place[int(start)] for start in outputs["word_starts"][read]],
        [tag.decode() for tag in outputs["tags"][read]],
        outputs["tag_scores"][read],
    )


RECORDS: dict[Kind, Callable[[Task, Any, Row], dict[str, Any]]] = {
    "classification": _class,
    "regression": _score,
    "question_answering": _answer,
    "multi_label": _label_set,
    "token_classification": _sentence,
}
