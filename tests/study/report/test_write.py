"""Whole reports: what is in them, what is left out and what is refused."""

import csv
import dataclasses
import re
from html.parser import HTMLParser

import pytest

from adapters_tf.errors import DataError, UserError
from adapters_tf.study.ablation import Ablation
from adapters_tf.study.report.write import report_directory, write_report

VOID = {"meta", "img"}


class Page(HTMLParser):
    """Checks that every element is closed, and gathers what the page refers to."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links = [], set(), []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as f:
        return list(csv.reader(f))


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    path = tmp_path_factory.mktemp("reports") / "deep" / "R"
    document = write_report(study, output_dir=path)
    return path, document


def test_files(report):
    path, _ = report
    figures = {"adapter_size", "confusion-a", "learning_rate", "parameters", "tradeoff"}
    assert {p.name for p in path.iterdir()} == {
        *("report.html", "report.md", "figures", "tables"),
    }
    assert {p.name for p in (path / "figures").iterdir()} == {
        f"{name}.{suffix}" for name in figures for suffix in ("png", "svg")
    }
    assert {p.stem for p in (path / "tables").iterdir()} == {
        *("scores", "gaps", "published", "parameters", "tradeoff", "selection"),
        *("all_sizes", "learning_rates", "confusion-a", "classes-a"),
    }
    assert [p.name for p in path.parent.iterdir()] == ["R"]


def test_the_page_needs_nothing_else(report):
    path, document = report
    page = Page((path / "report.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags and "link" not in page.tags
    images = [x for x in page.links if x.startswith("data:image/svg+xml;base64,")]
    assert len(images) == len(document.pictures) == 5
    assert all(x.startswith("#") for x in page.links if x not in images)


def test_markdown_refers_to_files_that_are_there(report):
    path, _ = report
    text = (path / "report.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == 6
    for link in links:
        assert (path / link).is_file()


def test_scores(report):
    path, _ = report
    header, a, b, mean = rows_of(path / "tables" / "scores.csv")
    assert header == [
        *("task", "metric", "majority", "full fine-tuning", "full fine-tuning: s.e.m."),
        *("adapters 8", "adapters 8: s.e.m."),
        *("adapters, best size", "adapters, best size: s.e.m."),
    ]
    assert a == ["a", "accuracy (%)", "50.0", "82.0", "2.0", *["79.0", "1.0"],
                 *["80.0", "1.0"]]  # fmt: skip
    assert b[:3] == ["b", "F1 (%)", "50.0"]
    assert mean[0] == "average of 2 tasks"
    assert list(map(float, mean[2:6])) == [50, 71, 1, 70.5]
    text = (path / "report.md").read_text(encoding="utf-8")
    assert "| a | accuracy (%) | 50.0 | 82.0 ± 2.0 | 79.0 ± 1.0 | 80.0 ± 1.0 |" in text
    assert "Scores on the dev rows, mean ± s.e.m. over 2 seeds." in text


def test_findings(report):
    path, document = report
    text = (path / "report.md").read_text(encoding="utf-8")
    for sentence in (
        "14 trials of 2 tasks (a, b) on the base demo with 1,000 parameters.",
        "On average over 2 tasks the score is 50.0 for the majority baseline, "
        "71.0 ± 1.0 for full fine-tuning, 70.5 ± 0.5 for adapters of size 8 and 71.0 ± "
        "0.5 for adapters of the best size for each task.",
        "Full fine-tuning is 0.50 points ahead of adapters of size 8 on average over 2 "
        "tasks (s.e.m. 2.50 over the tasks and 1.12 over the seeds alone).",
        "Adapters of size 8 train 3.00% of the base's parameters for a task. The total "
        "for 2 tasks is 1.06 times the parameters of one base; with full fine-tuning "
        "it is 2 times.",
        # 12 points on a, where both rates were run.
        "With the worst of its learning rates in place of the best one a method loses "
        "on average 12.0 points for full fine-tuning.",
        "For comparison, Houlsby et al. (2019) published",
    ):
        assert sentence in text
    assert sentence in "\n".join(b for b in document.blocks if isinstance(b, str))


def test_classes(report):
    path, _ = report
    assert rows_of(path / "tables" / "confusion-a.csv") == [
        ["class", "no", "yes"],
        ["no", "18", "2"],
        ["yes", "6", "14"],
    ]
    rows = rows_of(path / "tables" / "classes-a.csv")
    assert rows[0] == ["class", "precision", "recall", "F1", "dev rows"]
    assert rows[1] == ["no", "75.0", "90.0", "81.818182", "20"]
    assert rows[2] == ["yes", "87.5", "70.0", "77.777778", "20"]
    assert rows[3][:3] == ["mean of the classes", "81.25", "80.0"]


def test_the_same_results_give_the_same_files(report, study, tmp_path):
    path, _ = report
    write_report(study, output_dir=tmp_path / "again")
    files = [p.relative_to(path) for p in path.rglob("*") if p.is_file()]
    for file in files:
        assert (path / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_one_trial_is_a_report(trial, tmp_path):
    write_report([trial("a", "adapters", 0.75)], output_dir=tmp_path / "R")
    text = (tmp_path / "R" / "report.md").read_text(encoding="utf-8")
    assert "| task | metric | majority | adapters 8 |" in text
    assert "| a | accuracy (%) | 50.0 | 75.0 |" in text
    assert "On a the score is 50.0 for the majority baseline and 75.0 for" in text
    assert "one seed each" in text
    assert "±" not in text and "fine-tuning is" not in text and "average of" not in text
    assert not (tmp_path / "R" / "figures").exists()


def test_a_single_method_without_a_base_has_no_empty_columns(trial, tmp_path):
    found = trial(
        "a", "no_bert", 0.75, about={"hyperparameters": {"units": 64, "dropout": 0.2}}
    )
    write_report([found], output_dir=tmp_path / "R")
    text = (tmp_path / "R" / "report.md").read_text(encoding="utf-8")
    assert "| method | trained parameters a task |\n" in text
    assert "| task | method | epochs | batch size | settings tried |" in text
    assert "| a | units=64, dropout=0.2 |" in text
    assert "Houlsby" not in text


def test_adapters_may_be_ahead(trial, tmp_path):
    results = [trial("a", "adapters", 0.8), trial("a", "full", 0.75)]
    write_report(results, output_dir=tmp_path / "R")
    text = (tmp_path / "R" / "report.md").read_text(encoding="utf-8")
    assert "Adapters of size 8 are 5.00 points ahead of full fine-tuning on a." in text
    assert "| a | -5.00 |" in text
    # Percentiles over one task would say nothing.
    assert "| method | tasks | trained parameters | score minus full |" in text
    assert "| adapters 8 | 1 | 20 | 5.00 |" in text


def test_ablations_alone(ablation, tmp_path):
    one = Ablation.from_dict(ablation)
    write_report([], [one, one], tmp_path / "R")
    names = {p.name for p in (tmp_path / "R" / "figures").iterdir()}
    assert {"ablation-a.png", "ablation-a-2.svg"} <= names
    text = (tmp_path / "R" / "report.md").read_text(encoding="utf-8")
    assert (
        "On a, removing the adapters of a single layer changes the score by -25.0% at "
        "worst (layer 2), and removing all of them takes it from 80.0 to 40.0 "
        "(majority: 40.0)."
    ) in text
    assert "The majority baseline is at -50.0%." in text
    rows = rows_of(tmp_path / "R" / "tables" / "ablation-a.csv")
    assert rows[:2] == [
        ["first layer", "last layer", "score", "relative change"],
        ["0", "0", "80.0", "0.0"],
    ]
    assert len(rows) == 7


def test_question_answering_has_its_own_figure(trial, tmp_path):
    given = {"kind": "question_answering", "metric": "f1"}
    results = [
        trial("squad", "adapters", 0.6, **given),
        trial("squad", "adapters", 0.7, bottleneck_dim=64, **given),
        trial("squad", "full", 0.8, **given),
    ]
    document = write_report(results, output_dir=tmp_path / "R")
    names = [picture.name for picture in document.pictures]
    assert "question_answering" in names and "parameters" not in names
    text = (tmp_path / "R" / "report.md").read_text(encoding="utf-8")
    assert "| SQuAD v1.1 F1, BERT-base | adapters 64 | 90.4 |" in text
    assert "MNLI" not in text


def test_initial_scales(trial, tmp_path):
    results = [
        trial("a", "adapters", 0.7),
        trial("a", "adapters", 0.9, initializer_stddev=1e-4),
    ]
    document = write_report(results, output_dir=tmp_path / "R")
    assert "initial_scale" in [picture.name for picture in document.pictures]
    text = (tmp_path / "R" / "report.md").read_text(encoding="utf-8")
    assert "| a | accuracy (%) | 50.0 | 70.0 |" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "f1"}, r"metric='accuracy' of a.full.* and 'f1' of a.adapters"),
        ({"dev_rows": 41}, "dev_rows=40 of a.full.* and 41 of a.adapters"),
        ({"base_parameters": 2000}, "1,000 parameters in the base of .* and 2,000"),
        ({"score": float("nan")}, "score of a result must be a finite number"),
        ({"score": None}, "Received: None of a.adapters"),
        (
            {"confusion": {"labels": ["x"], "counts": [[1, 2]]}},
            "confusion of a result must hold labels",
        ),
    ],
)
def test_results_that_do_not_compare(trial, tmp_path, change, message):
    results = [
        trial("a", "full", 0.8),
        dataclasses.replace(trial("a", "adapters", 0.8), **change),
    ]
    with pytest.raises(DataError, match=message):
        write_report(results, output_dir=tmp_path / "R")
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_report(tmp_path):
    with pytest.raises(DataError, match="at least one result. Received: none"):
        write_report([], output_dir=tmp_path / "R")


def test_a_report_is_replaced_only_with_overwrite(trial, tmp_path):
    path = tmp_path / "R"
    path.mkdir()
    write_report([trial("a", "head", 0.7)], output_dir=path)
    with pytest.raises(UserError, match="holds a report. .* give --overwrite"):
        write_report([trial("b", "head", 0.7)], output_dir=path)
    write_report([trial("b", "head", 0.7)], output_dir=path, overwrite=True)
    assert "| b |" in (path / "report.md").read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["R"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_files_are_never_replaced(trial, tmp_path, overwrite):
    path = tmp_path / "R"
    write_report([trial("a", "head", 0.7)], output_dir=path)
    (path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match=r"holds other files: thesis.tex"):
        write_report([trial("a", "head", 0.7)], output_dir=path, overwrite=overwrite)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="must be a directory"):
        write_report([trial("a", "head", 0.7)], output_dir=tmp_path / "file")


def test_a_failure_leaves_the_earlier_report(trial, tmp_path):
    path = tmp_path / "R"
    write_report([trial("a", "head", 0.7)], output_dir=path)
    before = (path / "report.html").read_bytes()
    with pytest.raises(RuntimeError), report_directory(path, True) as directory:
        (directory / "report.html").write_text("half")
        raise RuntimeError
    assert (path / "report.html").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["R"]
