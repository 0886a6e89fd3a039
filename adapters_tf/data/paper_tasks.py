"""Read the paper's text classification tasks beyond GLUE from public files.

They are the tasks of Houlsby et al. (2019), section 3.3 and table 3, and TREC. Each is
one table, except the 20 newsgroups and TREC. docs/data.md lists each task's source, its
number of rows, and which files were tested in full.
"""

import collections
import dataclasses
import fnmatch
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging

from adapters_tf.data.examples import Examples
from adapters_tf.data.files import (
    FileFormat,
    Table,
    check_skipped,
    find_public_files,
    read_columns,
)
from adapters_tf.data.labels import encode_class_labels, infer_labels
from adapters_tf.data.splits import split_examples
from adapters_tf.data.tables import read_text, utf8_or
from adapters_tf.errors import DataError

# Crowdflower's tables mix encodings. Latin-1 can decode every byte.
OTHER_ENCODING = "latin-1"


@dataclasses.dataclass(frozen=True)
class TextLayout:
    """The layout of a text classification task in its public file.

    Attributes:
        files: Alternative names of the published file.
        format: The columns of texts and answers.
        answers: Answer (an `fnmatch` pattern) -> class, in the order of class indices.
            If empty, the classes are the answers in the file, in natural order.
        left_out: Patterns of answers that are not a class; their rows are left out.
        folder: Name of the folder, if not the task's name.
    """

    files: tuple[str, ...]
    format: FileFormat
    answers: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    folder: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names in the order of their indices, if known."""
        return tuple(dict.fromkeys(self.answers.values()))


def _table(text: str, label: str) -> FileFormat:
    return FileFormat((text,), label, ",")


def _as_written(names: str) -> dict[str, str]:
    return {name: name for name in names.split(", ")}


def _lower(names: str) -> dict[str, str]:
    return {name: name.lower().replace(" ", "_") for name in names.split(", ")}


_POLITICAL = ("political_social_media.csv", "Political-media-DFE.csv")
_PROGRESSIVE = ("progressive-tweet-sentiment.csv",)
_STANCE = (
    "q1_from_reading_the_tweet_which_of_the_options_below_is_most_likely_to_be_true_"
    "about_the_stance_or_outlook_of_the_tweeter_towards_the_target"
)
_OPINION = "q2_which_of_the_options_below_is_true_about_the_opinion_in_the_tweet"

TEXT_LAYOUTS: dict[str, TextLayout] = {
    "cf_airline": TextLayout(
        ("Tweets.csv", "Airline-Sentiment-2-w-AA.csv"),
        _table("text", "airline_sentiment"),
        _as_written("negative, neutral, positive"),
    ),
    "cf_corporate_messaging": TextLayout(
        ("Corporate-messaging-DFE.csv",),
        _table("text", "category"),
        _lower("Action, Dialogue, Exclude, Information"),
    ),
    "cf_disasters": TextLayout(
        ("socialmedia-disaster-tweets-DFE.csv",),
        _table("text", "choose_one"),
        _lower("Not Relevant, Relevant"),
        left_out=("Can't Decide",),
    ),
    "cf_economic_news": TextLayout(
        ("Full-Economic-News-DFE-839861.csv", "Full-Economic-News-DFE.csv"),
        _table("text", "relevance"),
        _as_written("no, yes"),
        left_out=("not sure",),
    ),
    "cf_emotion": TextLayout(
        ("text_emotion.csv",),
        _table("content", "sentiment"),
        _as_written(
            "anger, boredom, empty, enthusiasm, fun, happiness, hate, love, neutral, "
            "relief, sadness, surprise, worry"
        ),
    ),
    "cf_global_warming": TextLayout(
        ("1377884570_tweet_global_warming.csv", "tweet_global_warming.csv"),
        _table("tweet", "existence"),
        {"No": "no", "N": "no", "Yes": "yes", "Y": "yes"},
        left_out=("N/A", "NA"),
    ),
    "cf_political_audience": TextLayout(
        _POLITICAL,
        _table("text", "audience"),
        _as_written("constituency, national"),
        folder="cf_political",
    ),
    "cf_political_bias": TextLayout(
        _POLITICAL,
        _table("text", "bias"),
        _as_written("neutral, partisan"),
        folder="cf_political",
    ),
    "cf_political_message": TextLayout(
        _POLITICAL,
        _table("text", "message"),
        _as_written(
            "attack, constituency, information, media, mobilization, other, personal, "
            "policy, support"
        ),
        folder="cf_political",
    ),
    "cf_primary_emotions": TextLayout(
        ("primary-plutchik-wheel-DFE.csv",),
        _table("sentence", "emotion"),
        _lower(
            "Aggression, Ambiguous, Anger, Anticipation, Awe, Contempt, Disapproval, "
            "Disgust, Fear, Joy, Love, Neutral, Optimism, Remorse, Sadness, "
            "Submission, Surprise, Trust"
        ),
    ),
    "cf_progressive_opinion": TextLayout(
        _PROGRESSIVE,
        _table("tweet", _OPINION),
        # Each answer is a numbered sentence; the numbers are the same in all rows.
        {"1.*": "about_the_target", "2.*": "about_something_else", "3.*": "none"},
        folder="cf_progressive",
    ),
    "cf_progressive_stance": TextLayout(
        _PROGRESSIVE,
        _table("tweet", _STANCE),
        {
            "AGAINST:*": "against",
            "FOR:*": "for",
            "NEUTRAL:*": "neutral",
            "NONE OF THE ABOVE:*": "none",
        },
        folder="cf_progressive",
    ),
    "cf_us_economic_performance": TextLayout(
        ("us-economic-newspaper.csv",),
        _table("text", "relevance"),
        _as_written("no, yes"),
        left_out=("not sure",),
    ),
    # The paper counts 157 classes; only the issue column has about as many.
    "customer_complaints": TextLayout(
        ("Consumer_Complaints.csv", "complaints.csv"),
        _table("Consumer complaint narrative", "Issue"),
        {},
    ),
    "news_aggregator": TextLayout(
        ("newsCorpora.csv",),
        FileFormat(("1",), "4", "\t", header=False),
        {"b": "business", "e": "entertainment", "m": "health", "t": "technology"},
    ),
    "sms_spam": TextLayout(
        ("SMSSpamCollection", "SMSSpamCollection.txt"),
        FileFormat(("1",), "0", "\t", header=False),
        _as_written("ham, spam"),
    ),
}


def _read_text_task(
    name: str, data_dir: str | os.PathLike[str]
) -> tuple[tuple[str, ...], dict[str, Examples]]:
    """Read a task of `TEXT_LAYOUTS`, split by `split_by_text`.

    Rows without a text, an answer or a class for the answer are left out, and their
    numbers are logged. Test questions for annotators (`_golden`) are kept. The file is
    read as UTF-8, or as Latin-1 if it is not valid UTF-8.
    """
    layout = TEXT_LAYOUTS[name]
    folders = (layout.folder or name, name)
    choices = [(file,) for file in layout.files]
    (path,) = find_public_files(name, data_dir, folders, choices)
    table = _read_table(path, layout.format)
    rows, classes = _kept(table, layout)
    labels = layout.labels or infer_labels(classes)
    lines = [table.lines[i] for i in rows]
    encoded = encode_class_labels(classes, labels, lines=lines, path=table.path)
    texts = [table.texts[0][i] for i in rows]
    return labels, split_examples(Examples((texts,), encoded))


def _read_table(path: pathlib.Path, format: FileFormat) -> Table:
    # Read the answer as a text, because an empty answer is not an error here.
    both = FileFormat(
        text_columns=format.columns,
        delimiter=format.delimiter,
        header=format.header,
        quoting=format.quoting,
        encoding=utf8_or(path, OTHER_ENCODING),
    )
    table = read_columns(path, both, strict=False)
    quotes = "without quoting" if format.delimiter == "\t" else "with quotes around"
    check_skipped(table, f"separated by {format.delimiter!r}, {quotes}")
    return table


def _kept(table: Table, layout: TextLayout) -> tuple[list[int], list[str]]:
    """Return the rows to keep and each row's class, or its answer if unknown."""
    texts, answers = table.texts
    classes = _classes([answer.strip() for answer in answers], layout)
    left_out: collections.Counter[str] = collections.Counter()
    rows = []
    for row, (text, name) in enumerate(zip(texts, classes, strict=True)):
        if name is None:
            left_out[f"answered {answers[row].strip()!r}"] += 1
        elif not name:
            left_out["without an answer"] += 1
        elif not text.strip():
            left_out["without a text"] += 1
        else:
            rows.append(row)
    if left_out:
        numbers = ", ".join(f"{n} {what}" for what, n in left_out.items())
        logging.info("%s: left out of %d rows: %s", table.path, len(texts), numbers)
    return rows, [classes[row] or "" for row in rows]


def _classes(answers: Sequence[str], layout: TextLayout) -> list[str | None]:
    patterns: dict[str, str | None] = dict.fromkeys(layout.left_out)
    patterns |= layout.answers
    known: dict[str, str | None] = {}
    for answer in set(answers):
        match = (p for p in patterns if fnmatch.fnmatchcase(answer, p))
        pattern = next(match, None)
        known[answer] = answer if pattern is None else patterns[pattern]
    return [known[answer] for answer in answers]


_GROUPS = (
    "alt.atheism comp.graphics comp.os.ms-windows.misc comp.sys.ibm.pc.hardware "
    "comp.sys.mac.hardware comp.windows.x misc.forsale rec.autos rec.motorcycles "
    "rec.sport.baseball rec.sport.hockey sci.crypt sci.electronics sci.med "
    "sci.space soc.religion.christian talk.politics.guns talk.politics.mideast "
    "talk.politics.misc talk.religion.misc"
)
NEWSGROUPS = tuple(_GROUPS.split())
NEWSGROUP_FOLDERS = ("20news-bydate-train", "20news-bydate-test")


def _read_newsgroups(data_dir: str | os.PathLike[str]) -> dict[str, Examples]:
    """Read the posts of both parts by date, and split them by `split_by_text`.

    Posts keep their headers, footers and quotes, and both parts are merged. This
    matches the paper: its 18,846 rows are those of both parts, and its mean length of
    1903 characters requires the full posts. Authors and quotes partly reveal the group,
    so accuracy is higher than on stripped posts or on the official later part.
    """
    # Imported here because it is slow, like TensorFlow.
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


# Abbreviation, description, entity, human being, location, number.
TREC_LABELS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
TREC_FILES = (("TREC.train", "TREC.test"), ("train_5500.label", "TREC_10.label"))

_QUESTION = re.compile(r"([A-Z]+):[a-z]+\s+(\S.*)")


def _read_trec(data_dir: str | os.PathLike[str]) -> dict[str, Examples]:
    """Read the questions of Li and Roth (2002), and split off `"dev"`.

    Each line is `KIND:finer kind`, a space and the question. The test questions are the
    published ones; a few also occur in the training part.
    """
    train, test = find_public_files("trec", data_dir, ("trec", "TREC"), TREC_FILES)
    splits = split_examples(_read_questions(train), {"dev": 0.1})
    return {**splits, "test": _read_questions(test)}


def _read_questions(path: os.PathLike[str]) -> Examples:
    questions, kinds, numbers = [], [], []
    # The training file has one byte that is not ASCII: 0xf0.
    text = read_text(path, utf8_or(path, "latin-1"))
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not line.strip():
            continue
        match = _QUESTION.fullmatch(line.strip())
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


# The class names; empty if only the file defines them.
PAPER_TASKS: dict[str, tuple[str, ...]] = {
    "20newsgroups": NEWSGROUPS,
    **{name: layout.labels for name, layout in TEXT_LAYOUTS.items()},
    "trec": TREC_LABELS,
}


def load_paper_task(
    name: str, data_dir: str | os.PathLike[str]
) -> tuple[tuple[str, ...], dict[str, Examples]]:
    """Read a task of `PAPER_TASKS` from its public files.

    Args:
        name: A key of `PAPER_TASKS`.
        data_dir: The folder with all tasks' folders, or the task's own folder.

    Returns:
        The class names, and the rows under `"train"`, `"dev"` and `"test"`.

    Raises:
        DataError: if a file is missing, not as published, or has too few rows.
    """
    if name == "20newsgroups":
        return NEWSGROUPS, _read_newsgroups(data_dir)
    if name == "trec":
        return TREC_LABELS, _read_trec(data_dir)
    return _read_text_task(name, data_dir)
