"""TREC's questions, by the coarse kind of what they ask for."""

import os
import re

import numpy as np

from adapters_tf.data.examples import Examples
from adapters_tf.data.find_files import find_public_files
from adapters_tf.data.labels import encode_class_labels
from adapters_tf.data.text_file import read_text, utf8_or
from adapters_tf.data.text_splits import split_examples
from adapters_tf.errors import DataError

# Abbreviation, description, entity, human being, location, number.
TREC_LABELS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
TREC_FILES = (("TREC.train", "TREC.test"), ("train_5500.label", "TREC_10.label"))

_LINE = re.compile(r"([A-Z]+):[a-z]+\s+(\S.*)")


def load_trec(data_dir: str | os.PathLike[str]) -> dict[str, Examples]:
    """Reads the questions of Li and Roth (2002), with a part split off as `"dev"`.

    Each line is `KIND:finer kind`, a space and the question. The test questions are
    the published ones: a few of them are training questions too.

    Args:
        data_dir: The folder that holds `trec`, or that folder.

    Returns:
        The rows under `"train"` and `"dev"`, split by `split_by_text`, and `"test"`.

    Raises:
        DataError: A file is missing or not as published.
    """
    train, test = find_public_files("trec", data_dir, ("trec", "TREC"), TREC_FILES)
    splits = split_examples(_read(train), {"dev": 0.1})
    return {**splits, "test": _read(test)}


def _read(path: os.PathLike[str]) -> Examples:
    questions, kinds, numbers = [], [], []
    # The training file has one byte that is not ASCII: 0xf0.
    text = read_text(path, utf8_or(path, "latin-1"))
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DataError(
                "Every line must be a kind, a colon, a finer kind, a space and a "
                f"question, as in 'NUM:dist How far is it?'. Received: {path}, line "
                f"{number}: {line[:80]!r}"
            )
        kinds.append(match[1])
        questions.append(match[2])
        numbers.append(number)
    labels: np.ndarray = encode_class_labels(
        kinds, TREC_LABELS, lines=numbers, path=str(path)
    )
    return Examples((questions,), labels)
