"""Extractive question answering: where in the context the answer stands."""

from typing import Any

import keras
import numpy as np
from absl import logging
from keras import ops

from adapters_tf.errors import DataError
from adapters_tf.models.adapter_backbone import AdapterBackbone, named_outputs
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.arrays import in_memory
from adapters_tf.models.backend_task import without_autograph
from adapters_tf.models.losses import SpanLoss
from adapters_tf.models.question_texts import (
    read_answers,
    read_questions_and_contexts,
)
from adapters_tf.models.question_windows import QuestionFeatures, question_windows
from adapters_tf.models.trainable_set import Tuning


@keras.saving.register_keras_serializable(package="adapters_tf")
class MaskPadding(keras.layers.Layer):
    """Pushes the logits `[batch, length, 2]` of padding out of reach."""

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

    An answer is its text and the character of the context that it begins with.
    A context too long for one input becomes several windows, see
    `question_windows`, each with the `sample_weight` of its question; `fit` and
    `evaluate` report the loss over windows. Windows may be given themselves, as
    tensors in memory or in a dataset; `predict` then returns their logits.

    Args:
        backbone: The encoder, such as a `BertAdapterBackbone`.
        preprocessor: The keras-hub preprocessor, or `None` to take tensors.
        tuning: See `Tuning`.
    """

    kind = "question_answering"
    default_loss = SpanLoss

    def __init__(
        self,
        backbone: AdapterBackbone,
        preprocessor: Any = None,
        tuning: Tuning | str | dict[str, Any] = "adapters",
        **kwargs: Any,
    ) -> None:
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

    # Of what fails in a converted function, AutoGraph keeps the text alone.
    @without_autograph
    def preprocess_samples(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> Any:
        """Questions, contexts and answers in memory to windows; tensors unchanged."""
        if not _is_windows(x):
            windows, contexts = self._windows(x, y)
            x, y = _tensors(windows), windows.features.labels
            if sample_weight is not None:
                sample_weight = _expand(sample_weight, windows.rows, len(contexts))
        else:
            self._check_inputs(x)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def expand_rows(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Questions, contexts and answers to windows; windows unchanged."""
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
        """As `keras.Model.predict` on windows; on texts, the answers.

        Args:
            x: `(questions, contexts)` of N texts each, or windows.
            batch_size: Windows of a batch.
            **kwargs: As `keras.Model.predict`.

        Returns:
            For texts N of `Answer`; for windows `[W, length, 2]` logits.
        """
        if not in_memory(x) or _is_windows(x):
            return super().predict(x, batch_size, **kwargs)
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
        questions, contexts = read_questions_and_contexts(x)
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
    """All windows, padded to the longest."""
    return windows.features.batch(np.arange(len(windows.features)), multiple=1)


def _expand(sample_weight: Any, rows: np.ndarray, num_questions: int) -> np.ndarray:
    """Each window's weight, of each question's."""
    sample_weight = np.asarray(sample_weight)
    if len(sample_weight) != num_questions:
        raise DataError(
            "There must be one sample_weight for each question. Received: "
            f"{len(sample_weight)} for {num_questions} questions"
        )
    return sample_weight[rows]
