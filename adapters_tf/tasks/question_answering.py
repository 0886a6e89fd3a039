"""Extractive question answering: find the answer's span in the context."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging
from keras import ops

from adapters_tf.data.examples import QuestionExamples, Rows, rows_as
from adapters_tf.data.files import DataFile
from adapters_tf.data.row_stream import WholeRows
from adapters_tf.data.squad import is_question_file, read_questions
from adapters_tf.errors import DataError
from adapters_tf.models.adapter_backbone import (
    AdapterBackbone,
    check_backbone,
    named_outputs,
)
from adapters_tf.models.adapter_forms import without_autograph
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.arrays import in_memory
from adapters_tf.models.question_texts import (
    read_answers,
    read_questions_and_contexts,
)
from adapters_tf.models.question_windows import QuestionFeatures, question_windows
from adapters_tf.models.task import KindFacts, Task
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.base import (
    Kind,
    Prepared,
    RowsOfTasks,
    ServedRows,
    Tensors,
)
from adapters_tf.tasks.text_kind import linear_layers


@keras.saving.register_keras_serializable(package="adapters_tf")
class SpanLoss(keras.losses.Loss):
    """Mean of the cross-entropies of the start and end positions.

    This is the loss of BERT's `run_squad.py`. Labels are `[batch, 2]` positions, logits
    `[batch, length, 2]`; each example's loss is a float32 number.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_pred = ops.cast(ops.transpose(y_pred, (0, 2, 1)), "float32")
        losses = keras.losses.sparse_categorical_crossentropy(
            y_true, y_pred, from_logits=True
        )
        return ops.mean(losses, axis=-1)


@keras.saving.register_keras_serializable(package="adapters_tf")
class MaskPadding(keras.layers.Layer):
    """Set the `[batch, length, 2]` logits of padding to a very low value."""

    def call(self, logits: Any, padding_mask: Any) -> Any:
        mask = ops.cast(padding_mask, logits.dtype)[:, :, None]
        return logits * mask - 1e9 * (1 - mask)


@keras.saving.register_keras_serializable(package="adapters_tf")
class AdapterQuestionAnswerer(AdapterModel):
    """Start and end logits for each token (SQuAD v1.1; BERT's `run_squad.py`).

    Head: a linear layer on every token's vector, no dropout. Outputs are
    `[batch, length, 2]` float32 logits; labels are `[batch, 2]` positions of
    the answer's first and last token.

    ```python
    questions = ["Who wrote it?"]
    contexts = ["It was written by Ada Lovelace in 1843."]
    model.fit((questions, contexts), [("Ada Lovelace", 18)])
    model.predict((questions, contexts))  # [Answer(text=..., start=..., score=...)]
    ```

    An answer is its text and the index of its first character in the context. A context
    too long for one input becomes several windows (see `question_windows`), each with
    the `sample_weight` of its question; `fit` and `evaluate` report the loss over
    windows. You can also pass windows as tensors, in memory or in a dataset; `predict`
    then returns their logits.

    Args:
        backbone: The encoder, such as a `BertAdapterBackbone`.
        preprocessor: The keras-hub preprocessor, or `None` to take tensors.
        tuning: See `Tuning`.
        **kwargs: As `AdapterModel`, such as `preset`.
    """

    kind = "question_answering"
    facts = KindFacts(
        labels="span",
        metrics=("f1", "exact_match"),
        text_columns=("question", "context"),
        pipeline_tag="question-answering",
        file_suffix=".json",
        long_input="Longer contexts are read in windows of {} tokens.",
        needs_word_pieces=True,
    )
    default_loss = SpanLoss

    def __init__(
        self,
        backbone: AdapterBackbone,
        preprocessor: Any = None,
        tuning: Tuning | str | dict[str, Any] = "adapters",
        **kwargs: Any,
    ) -> None:
        check_backbone(backbone)
        # === Layers ===
        logits = keras.layers.Dense(
            2,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype="float32",
            name="logits",
        )
        mask = MaskPadding(dtype="float32", name="mask_padding")

        # === Functional Model ===
        inputs = backbone.input
        encoded = named_outputs(backbone(inputs))
        outputs = mask(logits(encoded["sequence_output"]), inputs["padding_mask"])
        super().__init__(
            inputs,
            encoded,
            outputs,
            backbone=backbone,
            head=[logits],
            preprocessor=preprocessor,
            tuning=Tuning.of(tuning),
            reads_pooler=False,
            **kwargs,
        )

    # AutoGraph would keep only the text of an error raised here, not its type.
    @without_autograph
    def preprocess_samples(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> Any:
        """Convert in-memory questions and contexts to windows; keep tensors."""
        if not _is_windows(x):
            windows, contexts = self._windows(x, y)
            x, y = _tensors(windows), windows.features.labels
            if sample_weight is not None:
                sample_weight = _expand(sample_weight, windows.rows, len(contexts))
        else:
            self._check_inputs(x)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def expand_rows(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Convert questions, contexts and answers to windows; keep windows."""
        if y is None and not _is_windows(x):
            raise DataError(
                "fit and evaluate need the answers beside (questions, contexts), as a "
                "list of (text, start). Received: none"
            )
        return keras.utils.unpack_x_y_sample_weight(
            self.preprocess_samples(x, y, sample_weight)
        )

    def predict(
        self, x: Any = None, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """Return answers for texts; for windows, logits as `keras.Model.predict`.

        Args:
            x: `(questions, contexts)` of N texts each, or windows.
            batch_size: Windows of a batch.
            **kwargs: As `keras.Model.predict`.

        Returns:
            For texts, which may be empty, N `Answer`s; for windows, `[W, length, 2]`
            logits.
        """
        if not in_memory(x) or _is_windows(x):
            return super().predict(x, batch_size, **kwargs)
        x, _ = self._columns(x)
        windows, contexts = self._windows(x)
        logits = super().predict(_tensors(windows), batch_size, **kwargs)
        return windows.answers(logits, contexts)

    def _windows(self, x: Any, y: Any = None) -> tuple[QuestionFeatures, list[str]]:
        if self.preprocessor is None:
            raise DataError(
                "A model without a preprocessor takes windows as tensors, a dictionary "
                f"with token_ids. Received: a {type(x).__name__}. Give the model a "
                "preprocessor to read (questions, contexts)"
            )
        questions, contexts = read_questions_and_contexts(x, may_be_empty=y is None)
        answers = None if y is None else read_answers(y, contexts)
        windows = question_windows(questions, contexts, self.preprocessor, answers)
        if windows.num_unlocated:
            logging.warning(
                "%d of %d answers stand in no window of %d tokens whole",
                windows.num_unlocated,
                len(contexts),
                self.preprocessor.sequence_length,
            )
        return windows, contexts

    def head_config(self) -> dict[str, Any]:
        return {}


def _is_windows(x: Any) -> bool:
    return isinstance(x, dict) and "token_ids" in x


def _tensors(windows: QuestionFeatures) -> dict[str, np.ndarray]:
    """Return all windows, padded to the longest."""
    return windows.features.batch(np.arange(len(windows.features)), multiple=1)


def _expand(sample_weight: Any, rows: np.ndarray, num_questions: int) -> np.ndarray:
    """Give each window the weight of its question."""
    sample_weight = np.asarray(sample_weight)
    if len(sample_weight) != num_questions:
        raise DataError(
            "There must be one sample_weight for each question. Received: "
            f"{len(sample_weight)} for {num_questions} questions"
        )
    return sample_weight[rows]


class QuestionAnswering(Kind):
    """A span of the context for each question, as in SQuAD v1.1.

    Metrics are `f1` and `exact_match` of the official SQuAD v1.1 script: the best value
    over each question's answers, as in TensorFlow Model Garden. Predictions are answer
    texts by id, references are `QuestionExamples`.
    """

    name = "question_answering"
    label_kind = None
    model_class = AdapterQuestionAnswerer
    layout = "question"

    def recognises(self, file: DataFile) -> bool:
        return is_question_file(file.path, file.encoding)

    def new_task(self, name: str, file: DataFile) -> tuple[Task, Rows]:
        task = Task(name, self.name, self.text_columns, metrics=self.metrics)
        return task, read_questions(file.path, encoding=file.encoding)

    def read(self, file: DataFile, task: Task, require_labels: bool = False) -> Rows:
        labelled = require_labels or (file.has_format and file.has_labels)
        return self._read(file, labelled)

    def stream(self, file: DataFile, task: Task) -> WholeRows:
        return WholeRows(self._read(file, False))

    def _read(self, file: DataFile, answers: bool) -> Rows:
        return read_questions(
            file.path, require_answers=answers, encoding=file.encoding
        )

    def split(
        self, rows: Rows, fraction: float, seed: int, path: str
    ) -> tuple[np.ndarray, np.ndarray]:
        if len(set(self.groups(rows))) < 2:
            raise DataError(
                "Splitting off a development part needs at least 2 contexts. Received: "
                f"{path} with 1. Give a development file of your own"
            )
        return super().split(rows, fraction, seed, path)

    def groups(self, rows: Rows) -> Sequence[str]:
        # Keep contexts whole, so that the development part has unseen paragraphs.
        return rows_as(QuestionExamples, rows).contexts

    def head_arguments(self, task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def prepare(self, rows: Rows, preprocessor: Any) -> Prepared:
        rows = rows_as(QuestionExamples, rows)
        windows = question_windows(
            rows.questions, rows.contexts, preprocessor, rows.first_answers
        )
        return Prepared(rows, windows.features, windows)

    def note(self, prepared: Prepared, seq_length: int) -> str:
        note = f"{len(prepared.tokens):,} windows of up to {seq_length} tokens"
        unlocated = prepared.places.num_unlocated
        return note + (f"; {unlocated:,} answers in no window" if unlocated else "")

    def records(
        self, task: Task, outputs: Sequence[Any], prepared: Prepared
    ) -> list[dict[str, Any]]:
        """Return `id`, `answer`, `start` (of its first character) and `score`."""
        rows = rows_as(QuestionExamples, prepared.examples)
        found = prepared.places.answers(outputs, rows.contexts)
        return [
            {"id": row_id, "answer": text, "start": start, "score": score}
            for row_id, (text, start, score) in zip(rows.ids, found, strict=True)
        ]

    def predictions(
        self, task: Task, records: Sequence[Mapping[str, Any]]
    ) -> dict[str, str]:
        return {r["id"]: r["answer"] for r in records}

    def scores(self, task: Task, predictions: Any, references: Any) -> dict[str, float]:
        from official.nlp.tools import squad_evaluate_v1_1

        if not isinstance(references, QuestionExamples) or not isinstance(
            predictions, Mapping
        ):
            raise ValueError(
                "Question answering is scored on a mapping of ids to answers and on "
                f"QuestionExamples. Received: {type(predictions).__name__} and "
                f"{type(references).__name__}"
            )
        pairs = list(zip(references.ids, references.answers, strict=True))
        missing = [i for i in references.ids if i not in predictions]
        unlabelled = [i for i, answers in pairs if not answers]
        if missing or unlabelled or not len(references):
            raise ValueError(
                "Every question needs a prediction and a reference answer. Received: "
                f"{len(references)} questions, {len(missing)} without a prediction "
                f"({missing[:3]}), {len(unlabelled)} without an answer "
                f"({unlabelled[:3]})"
            )
        questions = [
            {"id": row_id, "answers": [{"text": text} for text in answers]}
            for row_id, answers in pairs
        ]
        found = squad_evaluate_v1_1.evaluate(
            [{"paragraphs": [{"qas": questions}]}], predictions
        )
        return {
            "f1": float(found["final_f1"]),
            "exact_match": float(found["exact_match"]),
        }

    def majority(self, task: Task, train: Any, dev: Any) -> dict[str, str]:
        """Return empty answers."""
        return dict.fromkeys(dev.ids, "")

    def num_outputs(self, config: Mapping[str, Any]) -> int:
        return 2

    def logits(self, features: Any, tensors: Tensors, mask: Any) -> Any:
        """Return `[batch, length, 2]` start and end logits, -1e9 for padding."""
        import tensorflow as tf

        logits = linear_layers(features, tensors)
        mask = tf.cast(mask, logits.dtype)[:, :, None]
        return logits * mask - 1e9 * (1 - mask)

    def token_outputs(self, logits: Any, labels: Any) -> Tensors:
        """Return `start_logits` and `end_logits` `[B, length]`."""
        return {"start_logits": logits[:, :, 0], "end_logits": logits[:, :, 1]}

    def text_outputs(self, outputs: Tensors, rows: ServedRows) -> Tensors:
        """Return `answer`, `answer_start`, `answer_end` and `score` `[B]`."""
        return rows.answers(outputs, rows.windows)

    def mixed_outputs(self, rows: RowsOfTasks) -> Tensors:
        """Return the same as `text_outputs`."""
        import tensorflow as tf

        wanted = rows.wanted(self.name)

        def found() -> Tensors:
            # Search spans only in questions' windows: this is the costliest step.
            windows = rows.windows
            chosen = tf.where(tf.gather(wanted, windows["rows"]))[:, 0]
            places = {k: tf.gather(windows[k], chosen) for k in _PLACES}
            _, logits = rows.token_logits(chosen, 2)
            return rows.answers(self.token_outputs(logits, None), places)

        def none() -> Tensors:
            blank = {"answer": "", "answer_start": -1, "answer_end": -1, "score": 0.0}
            shape = tf.shape(wanted)
            return {name: tf.fill(shape, value) for name, value in blank.items()}

        return tf.cond(tf.reduce_any(wanted), found, none)

    def served_record(
        self, task: Task, outputs: Mapping[str, Any], row: tuple[str, ...], row_id: Any
    ) -> dict[str, Any]:
        return {
            "id": row_id,
            "answer": outputs["answer"].decode(),
            "start": int(outputs["answer_start"]),
            "score": float(outputs["score"]),
        }

    def example_rows(
        self, short: str, long: str, num_texts: int
    ) -> list[tuple[str, ...]]:
        question = "Who plays the two sisters?"
        return [(question, short), (question, long)]


_PLACES = ("rows", "starts", "ends")
