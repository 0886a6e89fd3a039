"""Load GLUE and SQuAD v1.1 from TensorFlow Datasets."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from adapters_tf.data.examples import Examples, QuestionExamples
from adapters_tf.data.glue import GLUE_LAYOUTS
from adapters_tf.data.squad import check_positions
from adapters_tf.errors import UserError

_BATCH = 1024


def load_tfds_glue(
    name: str, tfds_data_dir: str | None = None, *, try_gcs: bool = False
) -> dict[str, Examples]:
    """Load a GLUE task; download it unless it is already prepared.

    Args:
        name: One of the nine keys of `GLUE_LAYOUTS`.
        tfds_data_dir: Data folder of TensorFlow Datasets; `None` for its default,
            `~/tensorflow_datasets`.
        try_gcs: Whether to look for prepared data in Google's bucket first.

    Returns:
        Examples under `"train"` and `"dev"`, and for MNLI `"mismatched"`.

    Raises:
        UserError: if the data set is not prepared and cannot be downloaded.
    """
    layout = GLUE_LAYOUTS[name]
    splits = {"train": "train", "dev": "validation"}
    if name == "mnli":
        splits["dev"] = "validation_matched"
        splits["mismatched"] = "validation_mismatched"
    loaded = _load(f"glue/{name}", list(splits.values()), tfds_data_dir, try_gcs)
    return {
        split: _to_examples(data.batch(_BATCH), layout.text_columns, layout.labels)
        for split, data in zip(splits, loaded, strict=True)
    }


def load_tfds_squad(
    tfds_data_dir: str | None = None, *, try_gcs: bool = False
) -> dict[str, QuestionExamples]:
    """Load SQuAD v1.1; download it unless it is already prepared.

    Args:
        tfds_data_dir: Data folder of TensorFlow Datasets; `None` for its default,
            `~/tensorflow_datasets`.
        try_gcs: Whether to look for prepared data in Google's bucket first.

    Returns:
        Questions under `"train"` and `"dev"`.

    Raises:
        UserError: if the data set is not prepared and cannot be downloaded.
        DataError: if an answer is not at its position.
    """
    train, dev = _load("squad/v1.1", ["train", "validation"], tfds_data_dir, try_gcs)
    return {"train": _to_questions(train), "dev": _to_questions(dev)}


def _load(
    name: str, splits: Sequence[str], data_dir: str | None, try_gcs: bool
) -> list[Any]:
    import tensorflow_datasets as tfds

    try:
        return tfds.load(name, split=list(splits), data_dir=data_dir, try_gcs=try_gcs)
    except (
        AssertionError,  # TFDS raises it if data is not prepared.
        ImportError,  # TFDS imports some packages only to prepare data.
        OSError,  # Connection errors, and files that cannot be written.
        tfds.core.DatasetNotFoundError,
        tfds.download.DownloadError,
    ) as error:
        place = data_dir or "~/tensorflow_datasets"
        raise UserError(
            f"TensorFlow Datasets must hold {name} or be able to download it. "
            f"Received: {type(error).__name__}: {error}. On a machine with access to "
            'the internet, prepare it with: python -c "import tensorflow_datasets as '
            f"tfds; tfds.load('{name}')\", copy ~/tensorflow_datasets to {place} here, "
            "and name another place with --tfds_data_dir. Or read local files of the "
            "data set with --data_dir"
        ) from error


def _to_examples(
    batches: Iterable[Any], text_columns: tuple[str, ...], labels: tuple[str, ...]
) -> Examples:
    texts: tuple[list[str], ...] = tuple([] for _ in text_columns)
    targets = []
    for batch in _as_numpy(batches):
        for column, name in zip(texts, text_columns, strict=True):
            column.extend(text.decode() for text in batch[name])
        targets.append(batch["label"])
    dtype = np.int32 if labels else np.float32
    return Examples(texts=texts, labels=np.concatenate(targets).astype(dtype))


def _to_questions(rows: Iterable[Any]) -> QuestionExamples:
    columns: tuple[list[Any], ...] = ([], [], [], [], [])
    for row in _as_numpy(rows):
        values = (
            row["id"].decode(),
            row["question"].decode(),
            row["context"].decode(),
            tuple(text.decode() for text in row["answers"]["text"]),
            tuple(int(start) for start in row["answers"]["answer_start"]),
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    examples = QuestionExamples(*columns)
    check_positions(examples, "TensorFlow Datasets' squad/v1.1")
    return examples


def _as_numpy(data: Iterable[Any]) -> Iterable[Any]:
    import tensorflow_datasets as tfds

    return tfds.as_numpy(data)
