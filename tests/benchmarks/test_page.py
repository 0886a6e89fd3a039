"""The page of results: places are filled, all else stays."""

import json
from pathlib import Path

import pytest

from adapters_tf.errors import UserError
from benchmarks.page import fill_page, read_results

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
RESULTS = DOCS / "results" / "benchmarks"
MACHINE = {
    "date": "2026-01-02",
    "processor": "a processor",
    "cores": 2,
    "memory_gb": 8.0,
    "system": "Linux",
    "load_average": 0.1,
    "versions": {"python": "3.11"},
}


def reuse(saved):
    times = {"wall_seconds": 5.0, "cpu_seconds": 6.0}
    return {
        "benchmark": "reuse",
        "machine": MACHINE,
        "options": {"preset": "demo", "bottleneck_dim": 8},
        "training": {"rows": 10, "epochs": 2},
        "new": [times],
        "shared": [times],
        "saved": {"wall_seconds": saved, "cpu_seconds": 1.0},
        "identical": True,
    }


GOALS = [
    {
        "name": "a / b",
        "kind": "least",
        "limit": 2,
        "goal": 4.0,
        "value": 3,
        "met": True,
    },
    {"name": "c", "limit": 1e-6, "value": 2e-7, "met": True},
    {"name": "d", "limit": 1, "goal": 0.5, "value": None, "met": False},
]
PAGE = """# Title

<!-- measured: bars -->
old
<!-- end -->
Text that stays.

<!-- measured: reuse -->
<!-- end -->
## The end
"""


def test_places_are_filled_and_filled_again():
    results = [reuse(1.25) | {"goals": GOALS}, reuse(9.75)]
    page = fill_page(PAGE, results)
    assert "old" not in page
    assert "| reuse | a / b | at least 2.00 | 4.00 | 3.00 | yes |\n" in page
    assert "| reuse | c | at most 1.0e-06 |  | 2.0e-07 | yes |\n" in page
    assert "| reuse | d | at most 1.00 | 0.50 | never | **no** |\n" in page
    assert page.index("saves 1.2 s") < page.index("saves 9.8 s")
    assert "Trials that share" not in page
    assert "\nText that stays.\n\n<!-- measured: reuse -->\n\n2026-01-02; a" in page
    assert page.endswith("\n\n<!-- end -->\n## The end\n")
    assert fill_page(page, results) == page
    empty = fill_page(page, [])
    assert empty.count("*No run is kept.*") == 2 and "saves" not in empty


def test_headings_go_below_those_of_the_page():
    training = {
        "benchmark": "training",
        "machine": MACHINE,
        "options": {"device": "gpu", "tf32": True},
        "cases": [
            {
                "encoder": "minilm",
                "rows": 8,
                "tokens": 16,
                "precision": "float32",
                "memory": {},
            }
        ],
        "goals": [],
    }
    page = fill_page("<!-- measured: training -->\n<!-- end -->\n", [training])
    assert "\n#### minilm, 8 x 16 tokens, float32\n" in page and "\n# " not in page
    assert "On a GPU, with TensorFloat-32" in page


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("# Title\n", "Received: 0 such places and 0 beginnings"),
        ("<!-- measured: bars -->\n", "Received: 0 such places and 1 beginnings"),
        ("<!-- measured: speed -->\n<!-- end -->\n", "training.*Received: speed"),
        (
            "<!-- measured: bars -->\n<!-- measured: reuse -->\n<!-- end -->\n",
            "Received: 1 such places and 2 beginnings",
        ),
    ],
)
def test_pages_that_cannot_be_filled(page, message):
    with pytest.raises(UserError, match=message):
        fill_page(page, [])


def test_results_that_are_none(tmp_path):
    with pytest.raises(UserError, match="must be a folder of results. Received"):
        read_results(tmp_path / "no")
    (tmp_path / "b.json").write_text(json.dumps(reuse(2)))
    (tmp_path / "a.json").write_text(json.dumps(reuse(1)))
    assert [r["saved"]["wall_seconds"] for r in read_results(tmp_path)] == [1, 2]
    (tmp_path / "c.json").write_text('{"benchmark": "other"}')
    with pytest.raises(UserError, match=r"wrote: training.*Received: .*c\.json"):
        read_results(tmp_path)
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(UserError, match=r"c\.json could not be read as JSON"):
        read_results(tmp_path)


def test_the_page_of_the_docs_is_what_the_results_give():
    results = read_results(RESULTS) if RESULTS.is_dir() else []
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    assert fill_page(page, results) == page, (
        "python benchmarks/run.py page --results=docs/results/benchmarks "
        "--output=docs/performance.md"
    )
