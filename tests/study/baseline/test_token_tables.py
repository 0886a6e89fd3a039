"""Texts as indices into tables of vectors."""

import numpy as np
import pytest

from adapters_tf.data.examples import Examples, TaskData
from adapters_tf.models.presets import load_backbone, load_preprocessor
from adapters_tf.models.task import Task
from adapters_tf.study.baseline.token_tables import (
    file_table,
    piece_table,
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
