"""Laws fitted to points that are made to follow them, or not to."""

import pytest

from adapters_tf.errors import UserError
from benchmarks.scaling import ScalingOptions, as_markdown, fit_law
from benchmarks.scaling_figure import draw_scaling

SIZES = [1, 4, 16, 64]


def test_a_line():
    fit = fit_law("linear", SIZES, [3 + 0.5 * n for n in SIZES])
    assert (fit["intercept"], fit["slope"]) == pytest.approx((3, 0.5))
    assert fit["residual"] < 1e-9 and fit["bends"] == []


def test_exponents():
    fit = fit_law("linear", SIZES, [2 * n**2 for n in SIZES])
    assert (fit["exponent"], fit["last_exponent"]) == pytest.approx((2, 2))
    assert 64 in fit["bends"] and fit["residual"] > 0.2


def test_a_constant_and_where_it_bends():
    fit = fit_law("constant", SIZES, [10, 10, 10, 10])
    assert (fit["intercept"], fit["slope"]) == pytest.approx((10, 0))
    assert fit["exponent"] == pytest.approx(0) and fit["bends"] == []
    fit = fit_law("constant", SIZES, [10, 10, 10, 15])
    assert fit["bends"] == [64] and fit["last_exponent"] > 0.2


def test_neither_part_is_negative():
    fit = fit_law("linear", SIZES, [8, 4, 2, 1])
    assert fit["slope"] == 0 and fit["intercept"] > 0 and fit["bends"]


def sweep(costs):
    return {
        "axis": "tasks",
        "measure": "MB on disk",
        "fixed": "little",
        "sizes": SIZES,
        "costs": costs,
        "fit": fit_law("linear", SIZES, costs),
    }


def test_tables_and_figure():
    machine = {
        **{"date": "2026-01-02", "processor": "p", "cores": 2, "memory_gb": 8.0},
        **{"system": "Linux", "load_average": None, "versions": {}},
    }
    sweeps = [sweep([3 + 0.5 * n for n in SIZES]), sweep([n**2 for n in SIZES])]
    options = {"preset": "demo", "repeats": 1}
    text = as_markdown({"machine": machine, "options": options, "sweeps": sweeps})
    assert "| MB on disk by tasks of a servable | linear: 3 + 0.5 n | " in text
    assert "| 0% | nowhere |" in text and "| 64 | 35.0 | 4,096.0 |" in text
    figure = draw_scaling(sweeps, "tasks of a servable")
    line, bent = figure.axes
    assert [label.get_label() for label in line.lines] == ["law", "measured"]
    law, measured = line.lines
    assert law.get_ydata()[[0, -1]] == pytest.approx([3.5, 35])
    assert measured.get_ydata().tolist() == [3.5, 5, 11, 35]
    off = bent.lines[2]
    assert off.get_label() == "off the law"
    assert off.get_xdata().tolist() == sweeps[1]["fit"]["bends"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lengths": (16,)}, "lengths must be two or more rising whole.*lengths=16"),
        ({"rows": (4, 4)}, "Received: rows=4,4"),
        ({"tasks": (0, 4)}, "Received: tasks=0,4"),
        ({"repeats": 0}, "repeats must be 1 or more. Received: repeats=0"),
    ],
)
def test_options_are_checked(options, message):
    assert ScalingOptions(tasks=()).tasks == ()
    with pytest.raises(UserError, match=message):
        ScalingOptions(**options)
