"""Words of a row and the parts that a signature has read."""

import numpy as np

from adapters_tf.tasks.word_tags import read_words


def test_words_of_several_parts_have_the_first():
    # "\vb" begins with white space, and "\u200b" has no token.
    words = ["so\vthe\v", "\vb", "\u200b", "y"]
    starts = np.array([0, 3, 9, 13, -1, -1])
    places, parts = read_words(words, starts)
    assert (places.tolist(), parts.tolist()) == ([0, 1, 3], [0, 2, 3])
    assert [part.tolist() for part in read_words(["a"], starts[4:])] == [[], []]
