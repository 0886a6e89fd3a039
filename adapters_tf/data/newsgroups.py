"""The 20 newsgroups, from the folders of the version by date."""

import os

import numpy as np

from adapters_tf.data.examples import Examples
from adapters_tf.data.find_files import find_public_files
from adapters_tf.data.text_splits import split_examples
from adapters_tf.errors import DataError

NEWSGROUPS = (
    "alt.atheism",
    "comp.graphics",
    "comp.os.ms-windows.misc",
    "comp.sys.ibm.pc.hardware",
    "comp.sys.mac.hardware",
    "comp.windows.x",
    "misc.forsale",
    "rec.autos",
    "rec.motorcycles",
    "rec.sport.baseball",
    "rec.sport.hockey",
    "sci.crypt",
    "sci.electronics",
    "sci.med",
    "sci.space",
    "soc.religion.christian",
    "talk.politics.guns",
    "talk.politics.mideast",
    "talk.politics.misc",
    "talk.religion.misc",
)
NEWSGROUP_FOLDERS = ("20news-bydate-train", "20news-bydate-test")


def load_newsgroups(data_dir: str | os.PathLike[str]) -> dict[str, Examples]:
    """Reads the posts of both parts by date, split anew by `split_by_text`.

    Posts are kept whole, with headers, footers and quotes, and both parts are one
    pool, as the paper's numbers say: its 18,846 rows are those of both parts, and its
    mean length of 1903 characters is too long for posts without those. Who posts and
    what is quoted gives the group away in part, so the accuracy is higher than on
    posts without them, and higher than on the later posts by date.

    Args:
        data_dir: The folder that holds `20newsgroups`, or the folder of the parts.

    Returns:
        The rows under `"train"`, `"dev"` and `"test"`.

    Raises:
        DataError: A folder is missing, or does not hold the 20 groups.
    """
    # Imported here: it takes as long as TensorFlow.
    from sklearn import datasets

    folders = ("20newsgroups", "20news-bydate", "20news_home")
    parts = find_public_files("20newsgroups", data_dir, folders, [NEWSGROUP_FOLDERS])
    texts: list[str] = []
    labels = []
    for part in parts:
        present = (
            {p.name for p in part.iterdir() if p.is_dir()} if part.is_dir() else ()
        )
        missing = sorted(set(NEWSGROUPS) - set(present))
        if missing:
            raise DataError(
                f"Both {' and '.join(NEWSGROUP_FOLDERS)} must hold a folder for each "
                f"of the 20 groups. Received: {part} without {', '.join(missing)}"
            )
        posts = datasets.load_files(
            part, categories=list(NEWSGROUPS), encoding="latin-1", shuffle=False
        )
        texts += posts.data
        labels.append(posts.target)
    kept = [row for row, text in enumerate(texts) if text.strip()]
    examples = Examples((texts,), np.concatenate(labels).astype(np.int32))
    return split_examples(examples.take(np.array(kept)))
