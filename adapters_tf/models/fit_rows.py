"""Keras's `fit`, `evaluate` and `predict` on texts, tables and tensors."""

from typing import Any

import keras
import numpy as np

from adapters_tf.errors import DataError
from adapters_tf.models.arrays import (
    TOKENIZED,
    check_batch_size,
    check_dataset,
    in_memory,
    num_rows,
    read_columns,
    split_rows,
)
from adapters_tf.models.labels import check_length
from adapters_tf.models.named_adapters import NamedAdapters
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.row_numbers import read_class_weights, read_weights
from adapters_tf.models.task_record import default_columns, read_labels
from adapters_tf.models.trainable_set import check_trainable_set


class FitOnRows(NamedAdapters):
    """The part of `AdapterModel` that reads rows, checks them and trains on them."""

    def preprocess_samples(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> Any:
        """Convert strings to tensors padded to the batch's longest; keep tensors."""
        if isinstance(x, dict) and TOKENIZED in x:
            x = self.without_padding(x[TOKENIZED])
            return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        if isinstance(x, dict) and "token_ids" in x:
            self._check_inputs(x)
            return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        if self.preprocessor is not None:
            x = self.without_padding(preprocess_texts(self.preprocessor, x))
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def _check_inputs(self, x: dict[str, Any]) -> None:
        # With other keys, Keras only warns and takes the values in order.
        if set(x) != set(self.input):
            raise DataError(
                f"The base reads {', '.join(sorted(self.input))}. Received: tensors "
                f"{', '.join(sorted(x))}"
            )

    def check_rows(self, x: Any, may_be_empty: bool = False) -> int | None:
        """Reject rows in memory that the model cannot read.

        Args:
            x: Columns as lists, arrays and tensors, but not the model's input tensors.
            may_be_empty: Take empty texts.

        Returns:
            The number of rows, or `None` if `expand_rows` checks it.
        """
        return None

    def expand_rows(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Convert rows in memory to the rows of batches: by default, no change.

        Models override it if one row can become several.
        """
        return x, y, sample_weight

    def _columns(self, x: Any) -> tuple[Any, tuple[str, ...] | None]:
        """Read columns; those with the names that the task knows, in its order."""
        x, names = read_columns(x)
        known = self.text_columns or self.facts.text_columns
        if names and names != known and len(names) > 1 and set(names) == set(known):
            x = tuple(x[names.index(name)] for name in known)
            names = known
        return x, names

    def _read_rows(
        self, x: Any, y: Any, sample_weight: Any, learn: bool
    ) -> tuple[Any, Any, Any]:
        """Check rows in memory and convert them to lists, arrays and tensors.

        Args:
            x: Texts or tensors, in columns of any library.
            y: Labels.
            sample_weight: Weights, or `None`.
            learn: Whether to learn the names of columns and classes if unknown.
        """
        x, names = self._columns(x)
        length = 0
        if isinstance(x, dict):
            rows: int | None = num_rows(x)
            length = np.shape(x["token_ids"])[-1]
        else:
            rows = self.check_rows(x)
        columns = self.text_columns
        if learn and not isinstance(x, dict):
            texts = len(x) if isinstance(x, tuple) else 1
            if not columns:
                columns = names or default_columns(self.kind, texts)
            elif self.facts.text_columns == ("text",) and texts != len(columns):
                raise DataError(
                    f"The task's rows have {len(columns)} texts each, "
                    f"{', '.join(columns)}. Received: rows of {texts}. Make a new "
                    "task for rows of another form, with add_adapter"
                )
        y = read_labels(self, y, rows, learn, length)
        self.text_columns = columns
        if sample_weight is not None:
            sample_weight = read_weights(read_columns(sample_weight)[0])
            if rows is not None:
                check_length("sample_weight", sample_weight, rows)
        return x, y, sample_weight

    def _learn_columns(self, data: Any) -> None:
        """Record how many texts the rows of a dataset have."""
        spec = getattr(data, "element_spec", None)
        texts = spec[0] if isinstance(spec, tuple) else spec
        if isinstance(texts, tuple) and not self.text_columns:
            self.text_columns = default_columns(self.kind, len(texts))

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        sample_weight: Any = None,
        validation_data: Any = None,
        validation_split: float | None = None,
        shuffle: bool = True,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train as `keras.Model.fit`, on strings or tensors in memory or a dataset.

        Rows in memory are shuffled in each epoch, in an order determined by the seed of
        `compile`; datasets keep their order. Columns are lists, arrays, tensors, or
        columns and tables of pandas, polars and PyArrow.

        Labels in memory are class indices or names. Names must be among `labels`; a
        model without `labels` learns them, in natural order, and keeps them.
        `class_weight` has a weight for every class, by index or name.

        Raises:
            DataError: if a row is missing, empty or of the wrong type, a label is
                missing, of the wrong form or out of range, or a weight is no finite
                number of 0 or more; names the row.
            UserError: if layers were frozen, unfrozen or quantized by hand, so that
                training would not match the tuning method.
            ValueError: if Keras would give wrong results on several devices; see
                `check_distribution`.
        """
        self.get_ready()
        check_trainable_set(self)
        self.forget_run()
        check_batch_size(batch_size)
        class_weight = kwargs.pop("class_weight", None)
        self._check_class_weight(class_weight)
        if in_memory(x):
            x, y, sample_weight = self._read_rows(x, y, sample_weight, learn=True)
            if validation_split and validation_data is None:
                rows = (x, y, sample_weight)
                rows, validation_data = split_rows(rows, validation_split)
                x, y, sample_weight = rows
            x, y, sample_weight = self.expand_rows(x, y, sample_weight)
            x = self.tokenized(x)
            if shuffle:
                x = self.shuffled((x, y, sample_weight), batch_size)
                y = batch_size = sample_weight = None
        else:
            check_dataset(x)
            self._learn_columns(x)
            if validation_split:
                raise DataError(
                    "validation_split splits rows in memory. Received: "
                    f"validation_split={validation_split} with a dataset. Split that "
                    "with its methods take and skip, and pass validation_data"
                )
        if in_memory(validation_data):
            rows = keras.utils.unpack_x_y_sample_weight(validation_data)
            x_val, y_val, weight = rows
            rows = self._read_rows(x_val, y_val, weight, learn=False)
            x_val, y_val, weight = self.expand_rows(*rows)
            validation_data = (self.tokenized(x_val), y_val, weight)
        elif validation_data is not None:
            check_dataset(validation_data)
        if class_weight is not None:
            classes = self.head_config()["num_classes"]
            class_weight = read_class_weights(class_weight, self.labels, classes)
        return super().fit(
            x=x,
            y=y,
            batch_size=batch_size,
            sample_weight=sample_weight,
            validation_data=validation_data,
            shuffle=False,
            class_weight=class_weight,
            **kwargs,
        )

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Train on one batch as `keras.Model.train_on_batch`.

        Raises:
            DataError: if there is a `class_weight` and rows have no single class.
            UserError: as `fit`.
        """
        check_trainable_set(self)
        self._check_class_weight(kwargs.get("class_weight"))
        return super().train_on_batch(x, y, sample_weight, **kwargs)

    def _check_class_weight(self, class_weight: Any) -> None:
        # Keras would take the place of the largest label in a row for its class.
        if class_weight is not None and self.kind != "classification":
            raise DataError(
                "class_weight is for rows with one class each. Received: class_weight "
                f"for a model of the kind {self.kind}. Weigh rows with sample_weight"
            )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Evaluate as `keras.Model.evaluate`; rows and labels as in `fit`."""
        self.get_ready()
        check_batch_size(batch_size)
        if in_memory(x):
            rows = self._read_rows(x, y, sample_weight, learn=False)
            x, y, sample_weight = self.expand_rows(*rows)
            x = self.tokenized(x)
        elif not kwargs.get("_use_cached_eval_dataset"):
            check_dataset(x)
        return super().evaluate(
            x=x, y=y, batch_size=batch_size, sample_weight=sample_weight, **kwargs
        )

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> Any:
        """Return logits as `keras.Model.predict` does; rows as in `fit`.

        Texts may be empty, as in a request to a servable.
        """
        self.get_ready()
        check_batch_size(batch_size)
        if in_memory(x):
            x, _ = self._columns(x)
            if not isinstance(x, dict):
                self.check_rows(x, may_be_empty=True)
                x = self.tokenized(x)
        else:
            check_dataset(x, labelled=False)
        return super().predict(x, batch_size, **kwargs)
