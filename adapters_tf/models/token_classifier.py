"""A class for each word of a sentence."""

from typing import Any

import keras
import numpy as np

from adapters_tf.errors import DataError
from adapters_tf.layers.dropout import Dropout
from adapters_tf.models.adapter_backbone import AdapterBackbone, named_outputs
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.arrays import in_memory
from adapters_tf.models.backend_task import without_autograph
from adapters_tf.models.losses import TagLoss
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.models.word_tokens import IGNORED, WordFeatures, word_features


@keras.saving.register_keras_serializable(package="adapters_tf")
class AdapterTokenClassifier(AdapterModel):
    """A class for each word, such as the tags of named entities.

    Head: dropout and a linear layer on every token's vector (Devlin et al. 2019,
    section 5.3). Outputs are `[batch, length, num_classes]` float32 logits; labels are
    `[batch, length]` int32: the class at the first token of each word, -1 at all other
    tokens, which do not count. `length` of the labels may be longer than that of the
    tokens.

    ```python
    sentences = [["Ada", "lives", "in", "London"], ["nobody", "came"]]
    model.fit(sentences, [[1, 0, 0, 3], [0, 0]])
    model.predict(sentences)  # [array([1, 0, 0, 3]), array([0, 0])]
    ```

    A sentence that is too long for one input is cut. Sentences may be given as tensors,
    in memory or in a dataset; `predict` then returns logits.

    Args:
        backbone: The encoder, such as a `BertAdapterBackbone`.
        num_classes: Number of classes.
        preprocessor: The keras-hub preprocessor, or `None` to take tensors.
        dropout: Dropout rate on the head's input.
        tuning: See `Tuning`.
    """

    kind = "token_classification"
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
        if num_classes < 2:
            raise ValueError(
                f"num_classes must be 2 or more. Received: num_classes={num_classes}"
            )
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

    # Of what fails in a converted function, AutoGraph keeps the text alone.
    @without_autograph
    def preprocess_samples(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> Any:
        """Sentences and classes in memory to tensors; tensors unchanged."""
        if not _is_tensors(x):
            words = self._words(x, y)
            x, y = _tensors(words), words.features.labels
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def expand_rows(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Sentences and classes to tensors; tensors unchanged."""
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
        """As `keras.Model.predict` on tensors; on sentences, the words' classes.

        Args:
            x: N lists of words, or tensors.
            batch_size: Rows of a batch.
            **kwargs: As `keras.Model.predict`.

        Returns:
            For sentences N arrays `[words]` int32, -1 where a word is behind the end
            of the input, or has no token; for tensors `[N, length, num_classes]`
            logits.
        """
        if not in_memory(x) or _is_tensors(x):
            return super().predict(x, batch_size, **kwargs)
        words = self._words(x)
        logits = super().predict(_tensors(words), batch_size, **kwargs)
        found = []
        for row, places in enumerate(words.firsts):
            classes = np.full(len(places), IGNORED, np.int32)
            best = words.at_words(row, logits[row]).argmax(axis=-1)
            classes[places >= 0] = best
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
            if not (isinstance(words, list | tuple) and words) or not all(
                isinstance(word, str) for word in words
            ):
                raise DataError(
                    "Every sentence must be a list of words, one or more. Received: "
                    f"{words!r}, the one at {row}"
                )
        tags = None if y is None else [np.asarray(row, np.int32) for row in y]
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
    """All rows, padded to the longest."""
    return words.features.batch(np.arange(len(words.features)), multiple=1)
