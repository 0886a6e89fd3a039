"""What a servable's signatures must return, from its parts put together."""

from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.export.bank import ExportedTask
from adapters_tf.export.base_functions import INPUTS
from adapters_tf.export.heads import head_function
from adapters_tf.export.rows import SEPARATOR
from adapters_tf.export.sample_texts import SAMPLE_PAIRS, SAMPLE_TEXTS
from adapters_tf.export.self_check import Case
from adapters_tf.export.servable import MIXED, LoadedBase
from adapters_tf.export.servable_functions import tagged_words
from adapters_tf.export.task_table import TOKEN_KINDS, num_texts, takes_pair

# Most tasks whose own signatures are run, each of which takes seconds the first
# time; every task's rows are run in mixed_text.
_OWN_SIGNATURES = 8
_ROWS_OF_MIXED = 64


def servable_cases(
    base: LoadedBase, tasks: dict[str, ExportedTask], changed: list[str]
) -> list[Case]:
    """Texts for every task, with what base and adapter give without a bank.

    Args:
        base: The base.
        tasks: The servable's tasks.
        changed: Names of those that were added or replaced, whose own
            signatures are run.
    """
    own = changed[:_OWN_SIGNATURES]
    cases, rows = [], []
    for index, (name, task) in enumerate(tasks.items()):
        # Two texts for each task in mixed rows, all for its own signatures.
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
    width = max(len(labels_of(task)) for task in tasks.values())
    rows.append(("a text", "", "", {}))
    rows.append(("a text", "", "no such task", {}))
    for start in range(0, len(rows), _ROWS_OF_MIXED):
        cases.append(_mixed_case(rows[start : start + _ROWS_OF_MIXED], tasks, width))
    return cases


def labels_of(task: ExportedTask) -> list[str]:
    """The classes of a task's texts, or one "" for a score; none for tokens."""
    if task.config["kind"] in TOKEN_KINDS:
        return []
    if task.config["task"].get("labels"):
        return list(task.config["task"]["labels"])
    return [""]


def _expected(
    base: LoadedBase, task: ExportedTask, texts: list[str], pairs: list[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    kind, count = task.config["kind"], len(texts)
    inputs = {
        "text": tf.constant(texts),
        "text_pair": tf.constant(pairs),
        "has_pair": tf.fill([count], takes_pair(task.config)),
        "is_question": tf.fill([count], kind == "question_answering"),
        "seq_lengths": tf.fill([count], task.config["seq_length"]),
    }
    is_words, is_list = kind == "token_classification", num_texts(task.config) > 2
    if is_words or is_list:
        inputs["is_words"] = tf.fill([count], is_words)
        inputs["is_list"] = tf.fill([count], is_list)
        windows = base.preprocessor.all_windows(inputs)
    else:
        windows = base.preprocessor.windows(inputs)
    tokens = {name: windows[name] for name in INPUTS}
    encoder = {name: tf.constant(value) for name, value in task.encoder.items()}
    outputs = base.model.encode(tokens, encoder, training=False)
    logits = head_function(kind, task.config["head"])(outputs, task.head)
    arrays = {name: value.numpy() for name, value in tokens.items()}
    if kind == "regression":
        score = {"score": logits.numpy()}
        return score, arrays, score
    if kind == "multi_label":
        labels = np.broadcast_to(np.array(labels_of(task)), logits.shape)
        label_set = {"labels": labels, "probabilities": tf.sigmoid(logits).numpy()}
        return label_set, arrays, label_set
    if kind == "token_classification":
        tags = list(task.config["task"]["labels"])
        probabilities = tf.nn.softmax(logits)
        on_tokens = {
            "labels": tf.constant([tags] * count),
            "probabilities": probabilities,
        }
        found = tagged_words(on_tokens, windows, inputs["text"])
        on_tokens = {k: v.numpy() for k, v in on_tokens.items()}
        return {k: v.numpy() for k, v in found.items()}, arrays, on_tokens
    if kind == "classification":
        labels = np.array(labels_of(task))
        probabilities = {
            "labels": np.broadcast_to(labels, logits.shape),
            "label": labels[np.argmax(logits, axis=1)],
            "probabilities": tf.nn.softmax(logits).numpy(),
        }
        return probabilities, arrays, probabilities
    spans = {"start_logits": logits[:, :, 0], "end_logits": logits[:, :, 1]}
    places = {name: windows[name] for name in ("rows", "starts", "ends")}
    answers = base.preprocessor.answers(
        {**spans, **places, "context": tf.constant(pairs)}
    )
    # Padding's logits are -1e9, give or take what float32 holds.
    padding = arrays["input_mask"] == 0
    on_tokens = {k: np.where(padding, np.nan, v) for k, v in spans.items()}
    return {k: v.numpy() for k, v in answers.items()}, arrays, on_tokens


def _mixed_case(
    rows: list[tuple[str, str, str, dict[str, Any]]],
    tasks: dict[str, ExportedTask],
    width: int,
) -> Case:
    texts, pairs, names, outputs = zip(*rows, strict=True)
    status = [
        "ok" if name in tasks else "unknown task" if name else "no task"
        for name in names
    ]
    kinds = [tasks[name].config["kind"] if name in tasks else "" for name in names]
    width = max(width, 1)
    labels = np.full((len(rows), width), "", dtype=object)
    probabilities = np.zeros((len(rows), width), np.float32)
    for i, row in enumerate(outputs):
        if "probabilities" in row:
            labels[i, : len(row["labels"])] = row["labels"]
            probabilities[i, : len(row["labels"])] = row["probabilities"]

    def column(name: str, blank: Any, dtype: Any) -> np.ndarray:
        return np.array([row.get(name, blank) for row in outputs], dtype)

    expected = {
        "status": np.array(status),
        "kind": np.array(kinds),
        "label": column("label", "", object),
        "labels": labels,
        "probabilities": probabilities,
        "score": column("score", 0, np.float32),
        "answer": column("answer", "", object),
        "answer_start": column("answer_start", -1, np.int32),
        "answer_end": column("answer_end", -1, np.int32),
    }
    if any(t.config["kind"] == "token_classification" for t in tasks.values()):
        expected |= _words_columns(outputs)
    inputs = {
        "text": np.array(texts),
        "text_pair": np.array(pairs),
        "task": np.array(names),
    }
    return Case(f"signatures/{MIXED}", inputs, expected)


def _words_columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The rows' `WordTags`, as wide as the row with the most words."""
    longest = max((np.sum(r["words"] != b"") for r in rows if "words" in r), default=0)
    columns = {}
    for name, padding in (
        ("words", b""),
        ("tags", b""),
        ("tag_scores", np.float32(0)),
        ("word_starts", np.int32(-1)),
        ("word_ends", np.int32(-1)),
    ):
        kind: Any = object if isinstance(padding, bytes) else padding.dtype
        columns[name] = np.full((len(rows), longest), padding, kind)
        for place, row in enumerate(rows):
            if name in row:
                own = row[name][:longest]
                columns[name][place, : len(own)] = own
    return columns
