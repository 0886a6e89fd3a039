"""Files of word vectors, good and bad."""

import numpy as np
import pytest

from adapters_tf.errors import DataError
from adapters_tf.study.baseline.token_tables import read_word_vectors

WORDS = ("good", "bad", "naïve")


def read(tmp_path, content, words=WORDS):
    path = tmp_path / "vectors.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_word_vectors(path, words)


def test_only_the_words_asked_for(tmp_path):
    found = read(tmp_path, "the 1 2 3\ngood 0.5 -1e-1 7\nnaïve 0 0 1\n")
    assert sorted(found) == ["good", "naïve"]
    np.testing.assert_array_equal(found["good"], np.float32([0.5, -0.1, 7]))
    assert found["good"].dtype == np.float32


@pytest.mark.parametrize(
    "content",
    [
        "2 3\ngood 1 2 3\nbad 4 5 6\n",
        "2 3\r\ngood 1 2 3\r\nbad 4 5 6\r\n",
        # fastText ends each line with a space.
        "2 3\ngood 1 2 3 \nbad 4 5 6 \n",
        "good 1 2 3\nbad 4 5 6",
        # As in GloVe's 840B vectors, a word of several parts.
        "bad 4 5 6\n. . . 7 8 9\nat a@b.com 7 8 9\ngood 1 2 3\n\n",
        "bad 4 5 6\ngood 1 2 3\nbad 0 0 0\n",
        # A line that is no UTF-8 is a word that no text has.
        b"bad 4 5 6\n\xff\xfe 0 0 0\ngood 1 2 3\n",
    ],
)
def test_forms(tmp_path, content):
    found = read(tmp_path, content)
    np.testing.assert_array_equal(found["good"], [1, 2, 3])
    np.testing.assert_array_equal(found["bad"], [4, 5, 6])
    assert len(found) == 2


@pytest.mark.parametrize(
    "content, message",
    [
        ("good 1 2 3\nbad 4 5\n", "line 2: 'bad 4 5', with 2 numbers .* line has 3"),
        ("good 1 2 3\nbad 4 5 6 7\n", "line 2: .*with 4 numbers where .* has 3"),
        ("good 1 2 x\n", "line 1: '1 2 x', which are not all numbers"),
        ("good 1 2 nan\n", "line 1: '1 2 nan', which are not all finite"),
        ("good\n", "line 1: 'good', which is no word with numbers"),
        ("", "Received: the empty file"),
        ("\n\n", "line 1: '', which is no word with numbers"),
        ("3 2\ngood 1 2\nbad 3 4\n", "says 3 words. Received: 2 lines .*cut off"),
        ("le 1 2\nfilm 3 4\n", "some of the task's 3 words. .*none .* 2 lines"),
        (b"5 2\0good\x01\x02", "which is binary.*binary=False"),
        (b"\x1f\x8b\x08\0\0", "which is binary. Unpack an archive"),
    ],
)
def test_bad_files(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="absent.txt: No such file or directory"):
        read_word_vectors(tmp_path / "absent.txt", WORDS)
    with pytest.raises(DataError, match="Is a directory"):
        read_word_vectors(tmp_path, WORDS)
