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


def memory(ours):
    case = {"encoder": "minilm", "rows": 8, "tokens": 16, "precision": "float32"}
    sizes = {"start": 1e6, "built": 2e6}
    return {
        "benchmark": "memory",
        "machine": MACHINE,
        "options": {"device": "gpu", "tf32": True},
        "cases": [
            {
                **case,
                "memory": {
                    "ours train_adapters": {**sizes, "growth": ours},
                    "peer train_adapters": {**sizes, "growth": 2e6},
                },
            }
        ],
    }


def time_to_quality(reached):
    task = {"task": "sst2", "peer": {"wall_seconds": 8.0}, "ours": {"reached": reached}}
    return {"benchmark": "time_to_quality", "metric": "accuracy", "tasks": [task]}


PAGE = """# Title

<!-- measured: summary -->
old
<!-- end -->
Text that stays.

<!-- measured: reuse -->
<!-- end -->
## The end
"""


def test_places_are_filled_and_filled_again():
    results = [time_to_quality(None), reuse(1.25), memory(3e6), reuse(9.75)]
    page = fill_page(PAGE, results)
    assert "old" not in page
    assert (
        "| growth of memory with adapters, ours / AdapterHub | minilm, 8 x 16 tokens, "
        "float32 | 1.50 |\n| time to AdapterHub's dev accuracy, ours / AdapterHub | "
        "sst2 | not reached |\n"
    ) in page
    assert page.index("saves 1.2 s") < page.index("saves 9.8 s")
    assert "Trials that share" not in page
    assert "\nText that stays.\n\n<!-- measured: reuse -->\n\n2026-01-02; a" in page
    assert page.endswith("\n\n<!-- end -->\n## The end\n")
    assert fill_page(page, results) == page
    empty = fill_page(page, [])
    assert empty.count("*No results yet.*") == 2 and "saves" not in empty


def test_headings_go_below_those_of_the_page():
    page = fill_page("<!-- measured: memory -->\n<!-- end -->\n", [memory(3e6)])
    assert "\n#### minilm, 8 x 16 tokens, float32\n" in page and "\n# " not in page
    assert "On a GPU, with TensorFloat-32" in page
    assert "| ours train_adapters / peer train_adapters | 1.50 |" in page


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("# Title\n", "Received: 0 such places and 0 beginnings"),
        ("<!-- measured: summary -->\n", "Received: 0 such places and 1 beginnings"),
        ("<!-- measured: speed -->\n<!-- end -->\n", "training.*Received: speed"),
        (
            "<!-- measured: summary -->\n<!-- measured: reuse -->\n<!-- end -->\n",
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
