"""Texts to measure on."""

import itertools
import os

import numpy as np

from adapters_tf.data.tables import read_text
from adapters_tf.errors import UserError

_STARTS = (
    "The committee approved the new budget for the library after a long debate",
    "My order arrived two days late and one of the four boxes was already open",
    "She plays the younger sister with great care and never asks for our pity",
    "Our flight from Denver was cancelled because of the storm over the mountains",
    "The museum opens its new wing in October with a show of early photographs",
    "He repeated the experiment at three temperatures and found the same result",
    "Thank you for the quick help with my account, everything works again today",
    "The second half of the season was much better than anyone had hoped for",
    "Researchers at the institute published a map of the ocean floor last week",
    "The kitchen is small but clean, and the owner showed us where to park",
)
_ENDS = (
    ", and nobody was surprised.",
    ", but I would not do it again.",
    ", which says a lot about the place.",
    ", as far as I can tell.",
    ", and that was only the beginning.",
    ", so we decided to stay.",
    ", even though it rained all week.",
    ", without a word of explanation.",
    ", to the delight of the children.",
    ", and the neighbours agreed with us.",
    ", if you believe the local paper.",
    ", though the price was rather high.",
    ", and I am still waiting for a reply.",
    ", just as the report had predicted.",
    ", long before the others came.",
    ", which made the whole trip worth it.",
    ", and it cost almost nothing.",
    ", because somebody had left a note.",
    ", after all these years.",
    ", and we will certainly come back.",
)
# Neighbours differ in both halves.
SENTENCES = tuple(
    start + end
    for shift in range(len(_ENDS))
    for start, end in zip(
        _STARTS,
        itertools.islice(itertools.cycle(_ENDS), shift, shift + len(_STARTS)),
        strict=True,
    )
)
"""200 different English sentences of about 15 to 25 tokens."""


# Words of a text: the logarithm is normal, as fitted to the dev set of SST-2.
_LOG_WORDS, _LOG_WORDS_SPREAD = 2.855, 0.517
_FEWEST, _MOST = 2, 47


def varied_texts(count: int) -> list[str]:
    """Pieces of `SENTENCES` whose lengths differ as those of SST-2's dev set do.

    They have 2 to 47 words, 19 in the median; the same ones each time.
    """
    random = np.random.default_rng(0)
    words = " ".join(SENTENCES).split()
    lengths = np.exp(random.normal(_LOG_WORDS, _LOG_WORDS_SPREAD, count))
    lengths = np.clip(lengths.round(), _FEWEST, _MOST).astype(int)
    starts = random.integers(len(words) - _MOST, size=count)
    return [
        " ".join(words[start : start + length])
        for start, length in zip(starts, lengths, strict=True)
    ]


def read_lines(path: str | os.PathLike[str], count: int) -> list[str]:
    """The first lines of a text file that are not blank.

    Args:
        path: UTF-8 text, one text a line.
        count: How many to read at most.

    Raises:
        UserError: if the file cannot be read or holds no text.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    texts = [line for line in lines if line][:count]
    if not texts:
        raise UserError(f"A file of texts has one text a line. {path} has none.")
    return texts
