"""Texts as tokens with vectors, and files of word vectors."""

import numpy as np
import pytest

from adapters_tf.data.examples import Examples, TaskData
from adapters_tf.errors import DataError
from adapters_tf.models.presets import load_backbone, load_preprocessor
from adapters_tf.models.task import Task
from adapters_tf.study.baseline_tokens import (
    file_table,
    piece_table,
    read_word_vectors,
    split_words,
    token_tables,
    word_table,
)

TASK = Task("toy", "classification", ("text",), ("a", "b"))


def task_data(train, dev):
    labels = np.zeros(len(train), np.int32), np.zeros(len(dev), np.int32)
    return TaskData(TASK, Examples((train,), labels[0]), Examples((dev,), labels[1]))


def test_split_words():
    assert split_words("Don't @me, naïve_x  #5!") == (
        ["Don", "'", "t", "@", "me", ",", "naïve_x", "#", "5", "!"]
    )


def test_words():
    data = task_data(["A b a c", "b", ""], ["c b A b", "", "zz"])
    table = word_table(data, max_length=3)
    # "c" occurs once, beyond the cut, and is unknown; "a" is 2, "b" is 3.
    assert table.train[0].to_list() == [[2, 3, 2], [3], [1]]
    assert table.dev[0].to_list() == [[1, 3, 2], [1], [1]]
    assert (table.size, table.num_trained, table.vectors) == (4, 3, None)


def test_words_of_pairs_share_a_table():
    texts = (["a b", "a"], ["b", "b a"])
    labels = np.zeros(2, np.int32)
    data = TaskData(TASK, Examples(texts, labels), Examples(texts, labels))
    table = word_table(data, 10)
    assert [c.to_list() for c in table.train] == [[[2, 3], [2]], [[3], [3, 2]]]


def test_file(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("good 1 2\nGood 3 4\nbad 5 6\nunused 7 8\n")
    data = task_data(["Good film", "GOOD good"], ["bad Bad good"])
    table = file_table(data, str(path), max_length=10)
    # As spelled, else in lower case, else unknown; the dev rows' own come last.
    assert table.train[0].to_list() == [[2, 1], [3, 3]]
    assert table.dev[0].to_list() == [[4, 4, 3]]
    # Scaled: the standard deviation of 1 to 6 is the root of 35 / 12.
    scale = 0.25 / np.sqrt(35 / 12)
    expected = np.array([[0, 0], [0, 0], [3, 4], [1, 2], [5, 6]]) * scale
    np.testing.assert_allclose(table.vectors, expected, rtol=1e-6)
    assert (table.size, table.num_trained) == (5, 3)


def test_pieces(tiny_preset):
    data = task_data(["good film", "the the good bad bad", ""], ["awful film xyz"])
    table = piece_table(data, tiny_preset, max_length=4)
    all_vectors = load_backbone(tiny_preset).token_embedding.embeddings.numpy()
    pieces = ["good", "film", "the", "bad", "awful", "[UNK]"]
    tokenizer = load_preprocessor(tiny_preset).tokenizer
    chosen = all_vectors[[tokenizer.token_to_id(piece) for piece in pieces]]
    all_vectors *= 0.25 / chosen.std()
    for rows, texts in [(table.train, data.train.texts), (table.dev, data.dev.texts)]:
        for row, text in zip(rows[0].to_list(), texts[0], strict=True):
            ids = np.asarray(tokenizer(text))[:4]
            expected = all_vectors[ids] if text else np.zeros([1, 16])
            np.testing.assert_allclose(table.vectors[row], expected, rtol=1e-5)
    assert table.train[0].to_list() == [[2, 3], [4, 4, 2, 5], [1]]
    # good, film, the, bad; awful and [UNK] in dev rows only.
    assert (table.size, table.num_trained) == (8, 5)


def test_all_sources(tiny_preset, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("good 1 2\n")
    data = task_data(["good", "good"], ["good"])
    assert sorted(token_tables(data, tiny_preset, None, 8)) == ["base", "random"]
    tables = token_tables(data, tiny_preset, str(path), 8)
    assert sorted(tables) == ["base", "file", "random"]


@pytest.mark.parametrize("table", ["base", "random"])
def test_no_texts_at_all(table, tiny_preset):
    data = task_data(["", ""], [""])
    found = token_tables(data, tiny_preset, None, 8)[table]
    assert found.train[0].to_list() == [[1], [1]]


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
