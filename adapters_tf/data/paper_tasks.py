"""The paper's text classification tasks beside GLUE, from their public files.

They are those of Houlsby et al. (2019), section 3.3 and table 3, and TREC. All but the
20 newsgroups and TREC are one table each. docs/data.md says where each comes from, how
many rows it has, and which of the files were seen whole.
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
from adapters_tf.data.files import FileFormat, Table, check_skipped, read_columns
from adapters_tf.data.find_files import find_public_files
from adapters_tf.data.labels import encode_class_labels, infer_labels
from adapters_tf.data.splits import split_examples
from adapters_tf.data.tables import read_text, utf8_or
from adapters_tf.errors import DataError

# Crowdflower's tables are in no one encoding. Every byte is some Latin-1 character.
OTHER_ENCODING = "latin-1"


@dataclasses.dataclass(frozen=True)
class TextLayout:
    """One text classification task in its public file.

    Attributes:
        files: Names under which the file is published; any one of them.
        format: Its column of texts and that of the answers.
        answers: The class of each answer. The answers are patterns as of `fnmatch`,
            the order of the classes is that of their indices. Empty where the
            classes are those that occur in the file, in natural order.
        left_out: Answers, as patterns, that are no class: their rows are left out.
        folder: The name of the folder, if not the task's.
    """

    files: tuple[str, ...]
    format: FileFormat
    answers: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    folder: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names in the order of their indices, if they are known."""
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
        # Each answer is a sentence; its number is the same in all rows.
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
    # The paper counts 157 classes. No other column than the issue has about as many.
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
    """A task of `TEXT_LAYOUTS`, split by `split_by_text`.

    Rows without a text or an answer and those whose answer is no class are left out,
    and their numbers are logged. Rows that the crowd was checked with (`_golden`) are
    rows like others. The file is read as UTF-8, or as Latin-1 if it is not UTF-8.
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
    # As a text, because an empty answer is no error here.
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
    """The rows that stay, and the class of each, or its answer if it is unknown."""
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
    """The posts of both parts by date, split anew by `split_by_text`.

    Posts are kept whole, with headers, footers and quotes, and both parts are one
    pool, as the paper's numbers say: its 18,846 rows are those of both parts, and its
    mean length of 1903 characters is too long for posts without those. Who posts and
    what is quoted gives the group away in part, so the accuracy is higher than on
    posts without them, and higher than on the later posts by date.
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


# Abbreviation, description, entity, human being, location, number.
TREC_LABELS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
TREC_FILES = (("TREC.train", "TREC.test"), ("train_5500.label", "TREC_10.label"))

_QUESTION = re.compile(r"([A-Z]+):[a-z]+\s+(\S.*)")


def _read_trec(data_dir: str | os.PathLike[str]) -> dict[str, Examples]:
    """The questions of Li and Roth (2002), with a part split off as `"dev"`.

    Each line is `KIND:finer kind`, a space and the question. The test questions are
    the published ones: a few of them are training questions too.
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


# The names of the classes; none where only the file knows them.
PAPER_TASKS: dict[str, tuple[str, ...]] = {
    "20newsgroups": NEWSGROUPS,
    **{name: layout.labels for name, layout in TEXT_LAYOUTS.items()},
    "trec": TREC_LABELS,
}


def load_paper_task(
    name: str, data_dir: str | os.PathLike[str]
) -> tuple[tuple[str, ...], dict[str, Examples]]:
    """Reads a task of `PAPER_TASKS` from its public files.

    Args:
        name: A key of `PAPER_TASKS`.
        data_dir: The folder that holds those of the tasks, or the task's own folder.

    Returns:
        The class names, and the rows under `"train"`, `"dev"` and `"test"`.

    Raises:
        DataError: A file is missing or not as published, or has too few rows.
    """
    if name == "20newsgroups":
        return NEWSGROUPS, _read_newsgroups(data_dir)
    if name == "trec":
        return TREC_LABELS, _read_trec(data_dir)
    return _read_text_task(name, data_dir)
