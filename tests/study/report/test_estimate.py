"""Means and their errors, against values computed by hand."""

import pytest

from adapters_tf.study.report.labels import metric_label, rate_text, share_text
from adapters_tf.study.results import Estimate, average, of_sample


def test_of_sample_divides_the_deviation_by_the_root_of_n():
    # Deviations 3, 1, -1, -3 of 100: variance 20/3, s.e.m. sqrt(20/3)/2.
    found = of_sample([0.97, 0.99, 1.01, 1.03])
    assert found.mean == pytest.approx(1.0)
    assert found.sem == pytest.approx(0.0129099, rel=1e-4)
    assert of_sample([0.3]) == Estimate(0.3, None)


def test_errors_of_independent_estimates_add_as_squares():
    difference = Estimate(0.9, 0.03) - Estimate(0.8, 0.04)
    assert difference.mean == pytest.approx(0.1)
    assert difference.sem == pytest.approx(0.05)
    mean = average([Estimate(0.2, 0.03), Estimate(0.6, 0.04)])
    assert mean.mean == pytest.approx(0.4)
    assert mean.sem == pytest.approx(0.025)


def test_without_one_error_the_result_has_none():
    assert (Estimate(0.9, 0.03) - Estimate(0.8)).sem is None
    assert average([Estimate(0.2, 0.03), Estimate(0.6)]).sem is None


@pytest.mark.parametrize(
    ("estimate", "digits", "text"),
    [
        (Estimate(0.8578, 0.0044), 1, "85.8 ± 0.4"),
        (Estimate(0.00456), 2, "0.46"),
        (Estimate(-0.0001), 1, "0.0"),
        (Estimate(-0.25, 0.0), 0, "-25 ± 0"),
    ],
)
def test_percent(estimate, digits, text):
    assert estimate.percent(digits) == text


def test_names_and_numbers_of_readers():
    assert metric_label("matthews") == "Matthews (× 100)"
    assert metric_label("f1_macro") == "macro F1 (%)"
    assert metric_label("bleu") == "bleu (× 100)"
    assert [rate_text(r) for r in (3e-5, 3e-4, 3e-3, 0.01, 0.1, 1.0)] == [
        *("3e-5", "3e-4", "3e-3"),
        *("0.01", "0.1", "1"),
    ]
    assert [share_text(s) for s in (0.02668, 0.0000341, 1.0)] == [
        *("2.67%", "0.0034%", "100.00%"),
    ]
