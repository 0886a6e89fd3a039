"""The two text tasks that are not one table each."""

import numpy as np
import pytest

from adapters_tf.data.newsgroups import NEWSGROUP_FOLDERS, NEWSGROUPS, load_newsgroups
from adapters_tf.data.trec import TREC_FILES, TREC_LABELS, load_trec
from adapters_tf.errors import DataError

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
    splits = load_newsgroups(tmp_path)
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
        load_newsgroups(tmp_path)
    write_posts(tmp_path)
    folder = tmp_path / NEWSGROUP_FOLDERS[1] / "sci.space"
    for post in folder.iterdir():
        post.unlink()
    folder.rmdir()
    with pytest.raises(DataError, match="20news-bydate-test without sci.space"):
        load_newsgroups(tmp_path)


def write_trec(folder, names=TREC_FILES[0], train=b""):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{k}:fine What is {k} {i} ?\n" for k in TREC_LABELS for i in range(10)]
    (folder / names[0]).write_bytes("".join(lines).encode() + train)
    (folder / names[1]).write_bytes(b"HUM:ind Who was Galileo ?\r\n\r\nNUM:date When ?")


@pytest.mark.parametrize("names", TREC_FILES)
def test_trec(tmp_path, names):
    write_trec(tmp_path / "trec", names)
    splits = load_trec(tmp_path)
    assert splits["test"].texts == (["Who was Galileo ?", "When ?"],)
    assert splits["test"].labels.tolist() == [3, 5]
    counts = {k: np.bincount(splits[k].labels).tolist() for k in ("train", "dev")}
    assert counts == {"train": [9] * 6, "dev": [1] * 6}
    for text, label in zip(*splits["train"].texts, splits["train"].labels, strict=True):
        assert text.startswith(f"What is {TREC_LABELS[label]} ")


def test_trec_has_a_byte_of_latin1(tmp_path):
    write_trec(tmp_path, train=b"LOC:city A sister\xf0city ?\n" * 2)
    assert "A sister\xf0city ?" in load_trec(tmp_path)["train"].texts[0]


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
        load_trec(tmp_path)


def test_missing_trec_file(tmp_path):
    with pytest.raises(DataError, match="TREC.train and TREC.test or train_5500.label"):
        load_trec(tmp_path)
    write_trec(tmp_path)
    (tmp_path / "TREC.test").unlink()
    with pytest.raises(DataError, match=r"must exist.*TREC\.test"):
        load_trec(tmp_path)
