"""Tables and pages: numbers, and names with any characters."""

import csv
import io

import pytest
from matplotlib.figure import Figure

from adapters_tf.study.report.document import (
    Document,
    FileNames,
    Number,
    Picture,
    Section,
    Table,
)
from adapters_tf.study.results import Estimate

TABLE = Table(
    "scores",
    "Of <two> tasks.",
    ("task", "rows", "full", "rate", "nothing"),
    (
        ("a|b", 12345, Estimate(0.5, 0.0125), Number(3e-5, "3e-5"), None),
        ("mean", None, Estimate(0.25), None, None),
    ),
    last_row_apart=True,
)


def test_markdown():
    assert TABLE.filled().to_markdown().splitlines() == [
        "| task | rows | full | rate |",
        "| --- | ---: | ---: | ---: |",
        r"| a\|b | 12,345 | 50.0 ± 1.2 | 3e-5 |",
        "| **mean** | **–** | **25.0** | **–** |",
    ]


def test_csv_has_plain_numbers_and_errors_beside_them():
    rows = list(csv.reader(io.StringIO(TABLE.filled().to_csv())))
    assert rows == [
        ["task", "rows", "full", "full: s.e.m.", "rate"],
        ["a|b", "12345", "50.0", "1.25", "3e-05"],
        ["mean", "", "25.0", "", ""],
    ]


def test_html_is_escaped():
    text = TABLE.to_html(3)
    assert "<b>Table 3.</b> Of &lt;two&gt; tasks." in text
    assert '<td class="text">a|b</td><td>12,345</td>' in text
    assert '<tr class="apart">' in text


@pytest.mark.parametrize(
    ("name", "markdown", "html"),
    [
        ("cf_airline", "cf_airline", "cf_airline"),
        ("_x_ *y*", r"\_x\_ \*y\*", "_x_ *y*"),
        ("<script>", r"\<script\>", "&lt;script&gt;"),
        ("a & b\n`c`", r"a &amp; b \`c\`", "a &amp; b `c`"),
    ],
)
def test_names_show_as_they_are(name, markdown, html):
    table = Table("t", name, ("task",), ((name,),))
    document = Document(name, (Section(name, (name, table)),))
    assert document.to_markdown().count(markdown) == 5
    assert document.to_html({}).count(html) >= 6
    assert "<script>" not in document.to_html({}) + document.to_markdown()


def test_blocks_are_numbered_and_empty_sections_left_out():
    picture = Picture("p", "Shows it.", "It", Figure)
    hidden = Table("all", "Everything:", ("x",), ((1,),), shown=False)
    sections = (
        Section("None", ()),
        Section("Both", (picture, TABLE, hidden, TABLE)),
    )
    document = Document("Title", sections)
    text = document.to_markdown()
    assert "None" not in text
    assert "![It](figures/p.png)\n\n**Figure 1.** Shows it." in text
    assert "**Table 2.**" in text and "**Table 3.**" not in text
    assert "Everything: [tables/all.csv](tables/all.csv)" in text
    page = document.to_html({"p": b"<svg/>"})
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in page
    assert '<a href="#both">' in page and '<h2 id="both">' in page


def test_names_of_files_are_plain_and_different():
    names = FileNames()
    wanted = ["x-a/b", "x-a b", "X-A_B", "x-ä"]
    assert [names.new(name) for name in wanted] == [
        *("x-a_b", "x-a_b-2", "X-A_B-3", "x-_"),
    ]
