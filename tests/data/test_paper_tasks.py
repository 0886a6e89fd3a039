"""The paper's text classification tasks, on small files like the public ones."""

import csv
import io

import numpy as np
import pytest
from absl import logging

from adapters_tf.data.paper_tasks import (
    _OPINION,
    _STANCE,
    NEWSGROUP_FOLDERS,
    NEWSGROUPS,
    TEXT_LAYOUTS,
    TREC_FILES,
    TREC_LABELS,
    load_paper_task,
)
from adapters_tf.errors import DataError

_UNIT = "_unit_id,_golden,_unit_state,_trusted_judgments,_last_judgment_at,"

# The header of each public file, its file's name, and the answers as published with
# the class each is; None where rows are left out.
FILES = {
    "cf_airline": (
        "Tweets.csv",
        "tweet_id,airline_sentiment,airline_sentiment_confidence,negativereason,"
        "negativereason_confidence,airline,airline_sentiment_gold,name,"
        "negativereason_gold,retweet_count,text,tweet_coord,tweet_created,"
        "tweet_location,user_timezone",
        {"negative": "negative", "neutral": "neutral", "positive": "positive"},
    ),
    "cf_corporate_messaging": (
        "Corporate-messaging-DFE.csv",
        f"{_UNIT}category,category:confidence,category_gold,id,screenname,text",
        {
            "Action": "action",
            "Dialogue": "dialogue",
            "Exclude": "exclude",
            "Information": "information",
        },
    ),
    "cf_disasters": (
        "socialmedia-disaster-tweets-DFE.csv",
        f"{_UNIT}choose_one,choose_one:confidence,choose_one_gold,keyword,location,"
        "text,tweetid,userid",
        {"Not Relevant": "not_relevant", "Relevant": "relevant", "Can't Decide": None},
    ),
    "cf_economic_news": (
        "Full-Economic-News-DFE-839861.csv",
        f"{_UNIT}positivity,positivity:confidence,relevance,relevance:confidence,"
        "articleid,date,headline,positivity_gold,relevance_gold,text",
        {"no": "no", "yes": "yes", "not sure": None},
    ),
    "cf_emotion": (
        "text_emotion.csv",
        "tweet_id,sentiment,author,content",
        {
            name: name
            for name in (
                "anger boredom empty enthusiasm fun happiness hate love neutral relief "
                "sadness surprise worry"
            ).split()
        },
    ),
    "cf_global_warming": (
        "1377884570_tweet_global_warming.csv",
        "tweet,existence,existence.confidence",
        {"No": "no", "N": "no", "Yes": "yes", "Y": "yes", "N/A": None, "NA": None},
    ),
    "cf_political_audience": (
        "Political-media-DFE.csv",
        f"{_UNIT}audience,audience:confidence,bias,bias:confidence,message,"
        "message:confidence,orig__golden,audience_gold,bias_gold,bioid,embed,id,label,"
        "message_gold,source,text",
        {"constituency": "constituency", "national": "national"},
    ),
    "cf_political_bias": (
        "political_social_media.csv",
        "bias,text",
        {"neutral": "neutral", "partisan": "partisan"},
    ),
    "cf_political_message": (
        "Political-media-DFE.csv",
        f"{_UNIT}audience,bias,message,message:confidence,text",
        {
            name: name
            for name in (
                "attack constituency information media mobilization other personal "
                "policy support"
            ).split()
        },
    ),
    "cf_primary_emotions": (
        "primary-plutchik-wheel-DFE.csv",
        f"{_UNIT}emotion,emotion_confidence,emotion_gold,id,idiom_id,sentence",
        {
            name: name.lower()
            for name in (
                "Aggression Ambiguous Anger Anticipation Awe Contempt Disapproval "
                "Disgust Fear Joy Love Neutral Optimism Remorse Sadness Submission "
                "Surprise Trust"
            ).split()
        },
    ),
    "cf_progressive_opinion": (
        "progressive-tweet-sentiment.csv",
        f"{_UNIT}{_STANCE},{_STANCE}:confidence,{_OPINION},target,tweet,tweet_id",
        {
            "1.  The tweet explicitly expresses opinion": "about_the_target",
            "2. The tweet does NOT expresses opinion": "about_something_else",
            "3.  The tweet is not (for example, 1.)": "none",
        },
    ),
    "cf_progressive_stance": (
        "progressive-tweet-sentiment.csv",
        f"{_UNIT}{_STANCE},{_STANCE}:confidence,{_OPINION},target,tweet,tweet_id",
        {
            "AGAINST: We can infer (e.g., FOR: nothing)": "against",
            "FOR: We can infer": "for",
            "NEUTRAL: We can infer": "neutral",
            "NONE OF THE ABOVE: There is no clue": "none",
        },
    ),
    "cf_us_economic_performance": (
        "us-economic-newspaper.csv",
        f"{_UNIT}positivity,positivity:confidence,relevance,relevance:confidence,"
        "orig__golden,articleid,date,headline,lineid,next_sentence,positivity_gold,"
        "previous_sentence,relevance_gold,text",
        {"no": "no", "yes": "yes", "not sure": None},
    ),
    "customer_complaints": (
        "Consumer_Complaints.csv",
        "Date received,Product,Sub-product,Issue,Sub-issue,Consumer complaint "
        "narrative,Company public response,Company,State,ZIP code,Tags,"
        "Consumer consent provided?,Submitted via,Date sent to company,"
        "Company response to consumer,Timely response?,Consumer disputed?,Complaint ID",
        {
            "Account opening, closing": "Account opening, closing",
            "Late fee": "Late fee",
        },
    ),
    "news_aggregator": (
        "newsCorpora.csv",
        "ID\tTITLE\tURL\tPUBLISHER\tCATEGORY\tSTORY\tHOSTNAME\tTIMESTAMP",
        {"b": "business", "e": "entertainment", "m": "health", "t": "technology"},
    ),
    "sms_spam": (
        "SMSSpamCollection",
        "v1\tv2",
        {"ham": "ham", "spam": "spam"},
    ),
}
_COLUMNS = {"news_aggregator": ("TITLE", "CATEGORY"), "sms_spam": ("v2", "v1")}
_ROWS = 10


def columns(name):
    format = TEXT_LAYOUTS[name].format
    return _COLUMNS.get(name, format.columns)


def content(name, rows):
    """The file's text with these (text, answer) rows; other columns are filled."""
    _, header, _ = FILES[name]
    delimiter = "\t" if "\t" in header else ","
    text_column, answer_column = columns(name)
    out = io.StringIO()
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    writer = csv.writer(
        out, delimiter=delimiter, quoting=quoting, quotechar=None if quoting else '"'
    )
    names = next(csv.reader([header], delimiter=delimiter))
    if delimiter == ",":
        writer.writerow(names)
    for text, answer in rows:
        cells = {text_column: text, answer_column: answer}
        writer.writerow([cells.get(column, "x") for column in names])
    return out.getvalue()


def usual_rows(name):
    """Ten texts with a quote and a comma for each answer."""
    return [
        (f'{answer} "said", {i}', answer)
        for answer in FILES[name][2]
        for i in range(_ROWS)
    ]


def write(folder, name, rows, encoding="utf-8", file=None):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (file or FILES[name][0])
    path.write_bytes(content(name, rows).encode(encoding))
    return path


def all_rows(labels, splits):
    return {
        text: labels[index]
        for examples in splits.values()
        for text, index in zip(*examples.texts, examples.labels, strict=True)
    }


@pytest.fixture
def infos(monkeypatch):
    messages = []
    monkeypatch.setattr(logging, "info", lambda text, *a: messages.append(text % a))
    return messages


def test_all_are_covered():
    assert set(FILES) == set(TEXT_LAYOUTS) and len(FILES) == 16


@pytest.mark.parametrize("name", FILES)
def test_public_layout(tmp_path, name):
    rows = usual_rows(name)
    write(tmp_path / name, name, rows)
    labels, splits = load_paper_task(name, tmp_path)
    classes = FILES[name][2]
    expected = {text: classes[answer] for text, answer in rows if classes[answer]}
    assert labels == tuple(dict.fromkeys(c for c in classes.values() if c))
    assert all_rows(labels, splits) == expected
    assert list(splits) == ["train", "dev", "test"]
    assert splits["train"].labels.dtype == np.int32
    # A tenth of each class, which two answers of one class share.
    sizes = np.bincount(splits["dev"].labels).tolist()
    assert sizes == [list(classes.values()).count(label) for label in labels]


@pytest.mark.parametrize("folder", ["cf_political", "cf_political_bias", "."])
def test_names_of_folders_and_files(tmp_path, folder):
    rows = usual_rows("cf_political_bias")
    for file in TEXT_LAYOUTS["cf_political_bias"].files:
        path = write(tmp_path / folder, "cf_political_bias", rows, file=file)
        assert len(load_paper_task("cf_political_bias", tmp_path)[1]["dev"]) == 2
        path.unlink()


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(
        DataError, match="cf_airline must be Tweets.csv or .*there is none$"
    ):
        load_paper_task("cf_airline", tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        load_paper_task("cf_airline", tmp_path / "none")


def test_copy_without_the_column(tmp_path):
    write(tmp_path, "cf_political_bias", usual_rows("cf_political_bias"))
    with pytest.raises(DataError, match=r"Received: 'message'.*\['bias', 'text'\]"):
        load_paper_task("cf_political_message", tmp_path)


def test_latin1_with_cr_line_ends(tmp_path):
    rows = [(f"caf\xe9 {i}", "Relevant") for i in range(10)]
    path = tmp_path / FILES["cf_disasters"][0]
    text = content("cf_disasters", rows).replace("\r\n", "\r")
    path.write_bytes(text.encode("latin-1"))
    labels, splits = load_paper_task("cf_disasters", tmp_path)
    assert all_rows(labels, splits) == dict.fromkeys((t for t, _ in rows), "relevant")


def test_utf8_with_a_byte_order_mark(tmp_path):
    rows = [(f"caf\xe9 {i}", "neutral") for i in range(10)]
    write(tmp_path, "cf_political_bias", rows, encoding="utf-8-sig")
    labels, splits = load_paper_task("cf_political_bias", tmp_path)
    assert all_rows(labels, splits) == dict.fromkeys((t for t, _ in rows), "neutral")


def test_rows_without_answer_text_or_class_are_left_out(tmp_path, infos):
    rows = [
        *((f"text {i}", "Y") for i in range(10)),
        ("no answer", " "),
        ("  ", "N"),
        ("ambiguous", "N/A"),
        ("ambiguous too", " N/A "),
    ]
    write(tmp_path, "cf_global_warming", rows)
    labels, splits = load_paper_task("cf_global_warming", tmp_path)
    assert all_rows(labels, splits) == {f"text {i}": "yes" for i in range(10)}
    (message,) = infos
    assert "left out of 14 rows: 1 without an answer, 1 without a text" in message
    assert message.endswith("2 answered 'N/A'")


def test_unknown_answer(tmp_path):
    rows = [*usual_rows("sms_spam"), ("text", "Ham")]
    write(tmp_path, "sms_spam", rows)
    with pytest.raises(
        DataError, match=r"\(ham, spam\).*'Ham' at .*Collection, line 21"
    ):
        load_paper_task("sms_spam", tmp_path)


def test_quotes_of_tab_separated_files_are_text(tmp_path):
    rows = [(f'" {i} unclosed', "ham") for i in range(10)]
    write(tmp_path, "sms_spam", rows)
    labels, splits = load_paper_task("sms_spam", tmp_path)
    assert all_rows(labels, splits) == dict.fromkeys((t for t, _ in rows), "ham")


def test_classes_of_complaints_are_those_with_a_narrative(tmp_path):
    rows = [*usual_rows("customer_complaints"), ("", "Identity theft")]
    write(tmp_path, "customer_complaints", rows)
    labels, _ = load_paper_task("customer_complaints", tmp_path)
    assert labels == ("Account opening, closing", "Late fee")


def test_repeated_texts_are_in_one_part(tmp_path):
    rows = [(f"text {i % 40}", ("ham", "spam")[i % 2]) for i in range(200)]
    write(tmp_path, "sms_spam", rows)
    _, splits = load_paper_task("sms_spam", tmp_path)
    parts = [set(examples.texts[0]) for examples in splits.values()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 40
    assert sum(map(len, splits.values())) == 200


def test_many_ragged_rows_are_refused(tmp_path):
    path = write(tmp_path, "cf_emotion", usual_rows("cf_emotion"))
    with path.open("a") as file:
        file.write("1,anger\n" * 11)
    with pytest.raises(DataError, match="11 of 141 have.*by ',', with quotes"):
        load_paper_task("cf_emotion", tmp_path)


# The two that are not one table each.

POST = "From: a@b.c\nSubject: {0}\n\n> quoted\nbody {0}\n-- \nfooter\n"


def write_posts(root):
    """Two posts a group in the training part, three in the test one, one empty."""
    for part, numbers in zip(NEWSGROUP_FOLDERS, ((1, 2), (3, 4, 5)), strict=True):
        for group in NEWSGROUPS:
            folder = root / part / group
            folder.mkdir(parents=True)
            for number in numbers:
                text = POST.format(f"{group} {number}")
                (folder / str(number)).write_text(text)
    (folder / "6").write_text(" \n")
    (folder / "7").write_bytes(POST.format("caf\xe9").encode("latin-1"))


@pytest.mark.parametrize("folder", ["20newsgroups", "20news-bydate", "."])
def test_newsgroups(tmp_path, folder):
    write_posts(tmp_path / folder)
    _, splits = load_paper_task("20newsgroups", tmp_path)
    # Both parts are one pool of 5 posts a group, and one more in the last.
    counts = {k: np.bincount(v.labels).tolist() for k, v in splits.items()}
    assert counts == {"train": [3] * 19 + [4], "dev": [1] * 20, "test": [1] * 20}
    for examples in splits.values():
        for text, label in zip(*examples.texts, examples.labels, strict=True):
            group, _, number = text.splitlines()[1][len("Subject: ") :].partition(" ")
            if group == "caf\xe9":
                assert NEWSGROUPS[label] == "talk.religion.misc"
            else:
                assert NEWSGROUPS[label] == group
                assert text == POST.format(f"{group} {number}")


def test_newsgroups_are_20_in_order():
    assert len(NEWSGROUPS) == 20 and list(NEWSGROUPS) == sorted(NEWSGROUPS)


def test_newsgroups_without_a_group_or_a_part(tmp_path):
    with pytest.raises(
        DataError, match="20news-bydate-train and 20news-bydate-test in"
    ):
        load_paper_task("20newsgroups", tmp_path)
    write_posts(tmp_path)
    folder = tmp_path / NEWSGROUP_FOLDERS[1] / "sci.space"
    for post in folder.iterdir():
        post.unlink()
    folder.rmdir()
    with pytest.raises(DataError, match="20news-bydate-test without sci.space"):
        load_paper_task("20newsgroups", tmp_path)


def write_trec(folder, names=TREC_FILES[0], train=b""):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{k}:fine What is {k} {i} ?\n" for k in TREC_LABELS for i in range(10)]
    (folder / names[0]).write_bytes("".join(lines).encode() + train)
    (folder / names[1]).write_bytes(b"HUM:ind Who was Galileo ?\r\n\r\nNUM:date When ?")


@pytest.mark.parametrize("names", TREC_FILES)
def test_trec(tmp_path, names):
    write_trec(tmp_path / "trec", names)
    _, splits = load_paper_task("trec", tmp_path)
    assert splits["test"].texts == (["Who was Galileo ?", "When ?"],)
    assert splits["test"].labels.tolist() == [3, 5]
    counts = {k: np.bincount(splits[k].labels).tolist() for k in ("train", "dev")}
    assert counts == {"train": [9] * 6, "dev": [1] * 6}
    for text, label in zip(*splits["train"].texts, splits["train"].labels, strict=True):
        assert text.startswith(f"What is {TREC_LABELS[label]} ")


def test_trec_has_a_byte_of_latin1(tmp_path):
    write_trec(tmp_path, train=b"LOC:city A sister\xf0city ?\n" * 2)
    assert (
        "A sister\xf0city ?" in load_paper_task("trec", tmp_path)[1]["train"].texts[0]
    )


@pytest.mark.parametrize(
    "line, match",
    [
        (b"What is it ?\n", "Every line must be a kind.*line 61: 'What is it"),
        (b"NUM:dist \n", "line 61: 'NUM:dist"),
        (b"ABC:exp What ?\n", r"\(ABBR, DESC.*'ABC' at .*TREC.train, line 61"),
    ],
)
def test_bad_trec_line(tmp_path, line, match):
    write_trec(tmp_path, train=line)
    with pytest.raises(DataError, match=match):
        load_paper_task("trec", tmp_path)


def test_missing_trec_file(tmp_path):
    with pytest.raises(DataError, match="TREC.train and TREC.test or train_5500.label"):
        load_paper_task("trec", tmp_path)
    write_trec(tmp_path)
    (tmp_path / "TREC.test").unlink()
    with pytest.raises(DataError, match=r"must exist.*TREC\.test"):
        load_paper_task("trec", tmp_path)
