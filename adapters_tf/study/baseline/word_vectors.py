"""Word vectors from files in the text formats of GloVe, word2vec and fastText."""

import os
from collections.abc import Collection

import numpy as np

from adapters_tf.errors import DataError

_RULE = (
    "A file of word vectors must hold one word a line with its numbers, separated by "
    "spaces, in UTF-8, as GloVe's .txt and fastText's .vec files do."
)


def read_word_vectors(
    path: str | os.PathLike[str], words: Collection[str]
) -> dict[str, np.ndarray]:
    """The vectors that a file has for these words.

    The file is read line by line and only these words' vectors are kept, so a file of
    several GB takes little memory. A first line of two whole numbers is the header of
    word2vec and fastText. Where a word has several lines, the first counts.

    Args:
        path: The file.
        words: The words, as they are to be spelled in the file.

    Returns:
        A `[dim]` float32 vector for each word that the file has.

    Raises:
        DataError: The file is missing, no text, cut off, or has a line that is not
            a word with as many numbers as the first line, or has none of the words.
    """
    wanted = {word.encode() for word in words}
    found: dict[str, np.ndarray] = {}
    dim, declared, count = 0, None, 0
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, 1):
                line = raw.strip(b" \r\n")
                if number == 1:
                    declared, dim = _first_line(path, line)
                    if declared is not None:
                        continue
                if not line:
                    continue
                count += 1
                word, numbers = _split(path, number, line, dim)
                if word in wanted and word.decode() not in found:
                    found[word.decode()] = _parse(path, number, numbers)
    except OSError as error:
        raise DataError(f"{_RULE} Received: {path}: {error.strerror}") from None
    if not dim:
        raise DataError(f"{_RULE} Received: the empty file {path}")
    if declared is not None and count < declared:
        raise DataError(
            f"The first line of {path} says {declared} words. Received: {count} lines "
            "after it. The file seems to be cut off; get it again"
        )
    if not found:
        raise DataError(
            f"A file of word vectors must have some of the task's {len(wanted)} words. "
            f"Received: {path}, which has none of them in its {count} lines. Is it of "
            "the language of the texts?"
        )
    return found


def _first_line(path: object, line: bytes) -> tuple[int | None, int]:
    """The number of words, where it is said, and the length of the vectors."""
    if b"\0" in line:
        raise DataError(
            f"{_RULE} Received: {path}, which is binary. Unpack an archive; write a "
            "word2vec .bin file as text with gensim's "
            "save_word2vec_format(path, binary=False)"
        )
    fields = line.split(b" ")
    if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit():
        return int(fields[0]), int(fields[1])
    if len(fields) < 2:
        raise _bad_line(path, 1, line, "which is no word with numbers")
    return None, len(fields) - 1


def _split(path: object, number: int, line: bytes, dim: int) -> tuple[bytes, bytes]:
    spaces = line.count(b" ")
    if spaces == dim:
        word, _, numbers = line.partition(b" ")
        return word, numbers
    reason = f"with {spaces} numbers where the first line has {dim}"
    if spaces < dim:
        raise _bad_line(path, number, line, reason)
    # A few words of GloVe's 840B vectors hold spaces: ". . .".
    fields = line.rsplit(b" ", dim)
    try:
        float(fields[0].rpartition(b" ")[2])
    except ValueError:
        return fields[0], b" ".join(fields[1:])
    raise _bad_line(path, number, line, reason)


def _parse(path: object, number: int, numbers: bytes) -> np.ndarray:
    try:
        vector = np.array([float(field) for field in numbers.split(b" ")], np.float32)
    except ValueError:
        raise _bad_line(path, number, numbers, "which are not all numbers") from None
    if not np.isfinite(vector).all():
        raise _bad_line(path, number, numbers, "which are not all finite")
    return vector


def _bad_line(path: object, number: int, line: bytes, reason: str) -> DataError:
    start = line[:40].decode(errors="replace")
    return DataError(f"{_RULE} Received: {path}, line {number}: {start!r}, {reason}")
