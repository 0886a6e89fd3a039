"""Token classification: a tag for each word of a sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import scipy.special
from keras import ops

from adapters_tf.data.conll import (
    OUTSIDE,
    infer_tags,
    is_conll_file,
    read_conll,
)
from adapters_tf.data.examples import Rows, WordExamples, rows_as
from adapters_tf.data.files import DataFile
from adapters_tf.data.row_stream import WholeRows
from adapters_tf.data.splits import text_key
from adapters_tf.errors import DataError
from adapters_tf.layers.dropout import Dropout
from adapters_tf.models.adapter_backbone import (
    AdapterBackbone,
    check_backbone,
    named_outputs,
)
from adapters_tf.models.adapter_forms import without_autograph
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.arrays import in_memory, read_columns
from adapters_tf.models.row_numbers import read_tag_indices
from adapters_tf.models.task import KindFacts, Task
from adapters_tf.models.task_record import check_num_classes
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.models.word_tokens import IGNORED, WordFeatures, word_features
from adapters_tf.tasks import word_tags
from adapters_tf.tasks.base import Kind, Prepared, RowsOfTasks, ServedRows, Tensors
from adapters_tf.tasks.text_kind import (
    check_text_columns,
    linear_layers,
    refuse_several_labels,
    repeat_labels,
)


@keras.saving.register_keras_serializable(package="adapters_tf")
class TagLoss(keras.losses.Loss):
    """Mean of the cross-entropies of a sentence's words.

    Labels are `[batch, length]` classes, negative at ignored tokens. They may be longer
    than the `[batch, tokens, classes]` logits. Each example has one float32 loss.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        classes = ops.cast(y_true[:, : ops.shape(y_pred)[1]], "int32")
        counts = ops.cast(classes >= 0, "float32")
        losses = keras.losses.sparse_categorical_crossentropy(
            ops.maximum(classes, 0), ops.cast(y_pred, "float32"), from_logits=True
        )
        return ops.sum(losses * counts, axis=-1) / ops.maximum(
            ops.sum(counts, axis=-1), 1
        )


@keras.saving.register_keras_serializable(package="adapters_tf")
class AdapterTokenClassifier(AdapterModel):
    """A class for each word, such as the tags of named entities.

    Head: dropout and a linear layer on every token's vector (Devlin et al. 2019,
    section 5.3). Outputs are `[batch, length, num_classes]` float32 logits. Labels are
    `[batch, length]` int32: the class at the first token of each word, -1 at other
    tokens, which are ignored. Labels may be longer than the tokens.

    ```python
    sentences = [["Ada", "lives", "in", "London"], ["nobody", "came"]]
    model.fit(sentences, [[1, 0, 0, 3], [0, 0]])
    model.predict(sentences)  # [array([1, 0, 0, 3]), array([0, 0])]
    ```

    Long sentences are cut. `fit` also takes tensors; `predict` then returns logits.

    Args:
        backbone: The encoder, such as a `BertAdapterBackbone`.
        num_classes: Number of classes.
        preprocessor: The keras-hub preprocessor, or `None` to take tensors.
        dropout: Dropout rate on the head's input.
        tuning: See `Tuning`.
        **kwargs: As `AdapterModel`, such as `labels`.
    """

    kind = "token_classification"
    facts = KindFacts(
        labels="tags",
        metrics=("entity_f1", "entity_precision", "entity_recall"),
        text_columns=("0",),
        pipeline_tag="token-classification",
        file_suffix=".conll",
        long_input="Words beyond {} tokens are not read; they count as O.",
        answer="one of its tags for each word of any text",
        needs_word_pieces=True,
    )
    default_loss = TagLoss

    def __init__(
        self,
        backbone: AdapterBackbone,
        num_classes: int,
        preprocessor: Any = None,
        dropout: float = 0.1,
        tuning: Tuning | str | dict[str, Any] = "adapters",
        **kwargs: Any,
    ) -> None:
        check_backbone(backbone)
        num_classes = check_num_classes(num_classes, 2)
        # === Layers ===
        head_dropout = Dropout(
            dropout, dtype=backbone.dtype_policy, name="head_dropout"
        )
        logits = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype="float32",
            name="logits",
        )

        # === Functional Model ===
        inputs = backbone.input
        encoded = named_outputs(backbone(inputs))
        outputs = logits(head_dropout(encoded["sequence_output"]))
        self.num_classes = num_classes
        self.dropout = dropout
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
        """Convert in-memory sentences and classes to tensors; keep tensors."""
        if not _is_tensors(x):
            words = self._words(x, y)
            x, y = _tensors(words), words.features.labels
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def expand_rows(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Convert sentences and classes to tensors; keep tensors."""
        if y is None and not _is_tensors(x):
            raise DataError(
                "fit and evaluate need the classes beside the sentences, a list of as "
                "many numbers as there are words for each. Received: none"
            )
        return keras.utils.unpack_x_y_sample_weight(
            self.preprocess_samples(x, y, sample_weight)
        )

    def predict(
        self, x: Any = None, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """Return words' classes; for tensors, logits as `keras.Model.predict`.

        Args:
            x: N lists of words, which may be empty, or tensors.
            batch_size: Rows of a batch.
            **kwargs: As `keras.Model.predict`.

        Returns:
            For sentences, N `[words]` int32 arrays, -1 for cut words and words without
            a token; for tensors, `[N, length, num_classes]` logits.
        """
        if not in_memory(x) or _is_tensors(x):
            return super().predict(x, batch_size, **kwargs)
        words = self._words(read_columns(x)[0])
        logits = super().predict(_tensors(words), batch_size, **kwargs)
        found = []
        for row, places in enumerate(words.firsts):
            classes = np.full(len(places), IGNORED, np.int32)
            classes[places >= 0] = words.at_words(row, logits[row]).argmax(axis=-1)
            found.append(classes)
        return found

    def _words(self, x: Any, y: Any = None) -> WordFeatures:
        if self.preprocessor is None:
            raise DataError(
                "A model without a preprocessor takes tensors, a dictionary with "
                f"token_ids. Received: a {type(x).__name__}. Give the model a "
                "preprocessor to read sentences"
            )
        sentences = isinstance(x, list | tuple)
        if not sentences or not x:
            raise DataError(
                "Sentences are a list of lists of words, in memory; datasets hold "
                f"tensors. Received: {'none' if sentences else type(x).__name__}"
            )
        for row, words in enumerate(x):
            fits = isinstance(words, list | tuple)
            # As in a request to a servable, there may be nothing to predict.
            fits = fits and (y is None or bool("".join(map(str, words)).strip()))
            if not fits or not all(isinstance(word, str) for word in words):
                raise DataError(
                    "Every sentence must be a list of words, one or more. Received: "
                    f"{words!r}, the one at {row}"
                )
        tags = None if y is None else read_tag_indices(y)
        if tags is not None:
            self._check(x, tags)
        return word_features(x, self.preprocessor, tags)

    def _check(self, sentences: Any, tags: list[np.ndarray]) -> None:
        if len(tags) != len(sentences):
            raise DataError(
                "There must be a list of classes for each sentence. Received: "
                f"{len(tags)} for {len(sentences)} sentences"
            )
        for row, (words, classes) in enumerate(zip(sentences, tags, strict=True)):
            if classes.shape != (len(words),):
                raise DataError(
                    "There must be a class for each word. Received: "
                    f"{classes.size} for the {len(words)} words of the one at {row}"
                )
            if classes.min() < 0 or classes.max() >= self.num_classes:
                raise DataError(
                    f"Classes must be numbers from 0 to {self.num_classes - 1}. "
                    f"Received: {classes.tolist()}, of the sentence at {row}"
                )

    def head_config(self) -> dict[str, Any]:
        return {"num_classes": self.output_shape[-1], "dropout": self.dropout}


def _is_tensors(x: Any) -> bool:
    return isinstance(x, dict) and "token_ids" in x


def _tensors(words: WordFeatures) -> dict[str, np.ndarray]:
    """Return all rows, padded to the longest."""
    return words.features.batch(np.arange(len(words.features)), multiple=1)


class TokenClassification(Kind):
    """A tag in the BIO scheme for each word; the tags mark a sentence's entities.

    Metrics are seqeval's `entity_f1`, `entity_precision` and `entity_recall` over whole
    entities, as in conlleval, with 0/0 counted as 0. Predictions are the N sentences'
    tags, references are `WordExamples` with tags.
    """

    name = "token_classification"
    label_kind = "tags"
    model_class = AdapterTokenClassifier
    layout = "words"

    def recognises(self, file: DataFile) -> bool:
        return is_conll_file(file.path)

    def new_task(self, name: str, file: DataFile) -> tuple[Task, Rows]:
        refuse_several_labels(file, name, self)
        table = read_conll(file.path, file.format)
        labels = infer_tags(table.tags or (), table.path)
        task = Task(name, self.name, (str(table.column),), labels, self.metrics)
        return task, table.examples(task.labels)

    def read(self, file: DataFile, task: Task, require_labels: bool = False) -> Rows:
        check_text_columns(file, task)
        refuse_several_labels(file, task.name, self)
        tags = require_labels or file.format.label_column is not None
        return read_conll(file.path, file.format, tags=tags).examples(task.labels)

    def stream(self, file: DataFile, task: Task) -> WholeRows:
        check_text_columns(file, task)
        table = read_conll(file.path, file.format.without_labels, tags=False)
        return WholeRows(table.examples(task.labels))

    def groups(self, rows: Rows) -> Sequence[str]:
        words = rows_as(WordExamples, rows).words
        return [text_key(" ".join(sentence)) for sentence in words]

    def head_arguments(self, task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
        return {"num_classes": len(task.labels)}

    def prepare(self, rows: Rows, preprocessor: Any) -> Prepared:
        rows = rows_as(WordExamples, rows)
        words = word_features(rows.words, preprocessor, rows.tags)
        return Prepared(rows, words.features, words)

    def note(self, prepared: Prepared, seq_length: int) -> str:
        cut, unread = prepared.tokens.num_truncated, prepared.places.num_unread
        note = f"{cut:,} cut to {seq_length} tokens" if cut else "none truncated"
        return note + (f"; {unread:,} words of them count as O" if unread else "")

    def records(
        self, task: Task, outputs: Sequence[Any], prepared: Prepared
    ) -> list[dict[str, Any]]:
        """Return one record per sentence; see `sentence_record`."""
        found = []
        sentences = rows_as(WordExamples, prepared.examples).words
        for row, words in enumerate(sentences):
            logits = np.asarray(prepared.places.at_words(row, outputs[row]), np.float64)
            probabilities = scipy.special.softmax(logits, axis=-1)
            tags = [task.labels[best] for best in probabilities.argmax(axis=1)]
            read = np.flatnonzero(prepared.places.firsts[row] >= 0).tolist()
            found.append(
                word_tags.sentence_record(words, read, tags, probabilities.max(axis=1))
            )
        return found

    def predictions(
        self, task: Task, records: Sequence[Mapping[str, Any]]
    ) -> list[list[str]]:
        return [r["tags"] for r in records]

    def scores(self, task: Task, predictions: Any, references: Any) -> dict[str, float]:
        from seqeval.metrics import f1_score, precision_score, recall_score

        if not isinstance(references, WordExamples) or not references.tags:
            raise ValueError(
                "Tags are scored on WordExamples with tags. Received: "
                f"{type(references).__name__}"
            )
        expected = [[task.labels[i] for i in tags] for tags in references.tags]
        given = [list(tags) for tags in predictions]
        if [len(tags) for tags in given] != [len(tags) for tags in expected]:
            raise ValueError(
                "Every word needs a predicted tag. Received: tags of "
                f"{len(given)} sentences for {len(expected)}, or of another length"
            )
        return {
            "entity_f1": f1_score(expected, given, zero_division=0),
            "entity_precision": precision_score(expected, given, zero_division=0),
            "entity_recall": recall_score(expected, given, zero_division=0),
        }

    def majority(self, task: Task, train: Any, dev: Any) -> list[list[str]]:
        """Return tags without entities."""
        return [[OUTSIDE] * len(words) for words in dev.words]

    def num_outputs(self, config: Mapping[str, Any]) -> int:
        return config["num_classes"]

    def logits(self, features: Any, tensors: Tensors, mask: Any) -> Any:
        """Return `[batch, length, classes]` logits of every token."""
        return linear_layers(features, tensors)

    def token_outputs(self, logits: Any, labels: Any) -> Tensors:
        """Return `labels` `[B, C]` and `probabilities` `[B, length, C]`."""
        import tensorflow as tf

        labels = repeat_labels(labels, logits)
        return {"labels": labels, "probabilities": tf.nn.softmax(logits)}

    def text_outputs(self, outputs: Tensors, rows: ServedRows) -> Tensors:
        """Return tagged words; see `tagged_words`."""
        return word_tags.tagged_words(outputs, rows.windows, rows.text)

    def mixed_outputs(self, rows: RowsOfTasks) -> Tensors:
        """Return the same as `text_outputs`, padded to the rows with the most words."""
        import tensorflow as tf

        wanted = rows.wanted(self.name)

        def found() -> Tensors:
            first, most = rows.first_windows, rows.most_outputs(self.name)
            inside, logits = rows.token_logits(first, most)
            logits = tf.where(inside[:, None, :], logits, logits.dtype.min)
            values = {
                "labels": rows.labels(most),
                "probabilities": tf.nn.softmax(logits),
            }
            places = {k: tf.gather(rows.windows[k], first) for k in ("starts", "ends")}
            # Tokens of other kinds' rows belong to no word.
            places["starts"] = tf.where(wanted[:, None], places["starts"], -1)
            return word_tags.tagged_words(values, places, rows.text)

        return tf.cond(
            tf.reduce_any(wanted),
            found,
            lambda: word_tags.no_word_tags(tf.size(wanted)),
        )

    def served_record(
        self, task: Task, outputs: Mapping[str, Any], row: tuple[str, ...], row_id: Any
    ) -> dict[str, Any]:
        # Words contain no spaces; see `read_conll`.
        words = row[0].split(" ")
        places, parts = word_tags.read_words(words, outputs["word_starts"])
        return word_tags.sentence_record(
            words,
            places.tolist(),
            [tag.decode() for tag in outputs["tags"][parts]],
            outputs["tag_scores"][parts],
        )
