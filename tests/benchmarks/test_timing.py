"""Calls that take turns, and what is computed from their times."""

import time

import pytest

from benchmarks.timing import Timing, interleave, timed


def test_calls_take_turns_and_warm_up():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    timings = interleave(calls, repeats=2, warmup=1)
    # Each round begins with another call.
    assert "".join(order) == "abc" + "bca" + "cab"
    for timing in timings.values():
        assert len(timing.wall) == len(timing.cpu) == 2
        assert timing.to_dict()["repeats"] == 2


def test_waiting_counts_as_wall_time_only():
    timing = interleave({"sleep": lambda: time.sleep(0.05)}, 3, warmup=0)["sleep"]
    medians = timing.to_dict()
    assert medians["wall_seconds"] >= 0.05
    assert medians["cpu_seconds"] < 0.05


def test_ratios_are_medians_over_rounds():
    above = Timing(wall=(1.0, 8.0, 3.0), cpu=(1.0, 1.0, 4.0))
    below = Timing(wall=(1.0, 2.0, 1.5), cpu=(2.0, 1.0, 1.0))
    # 1, 4, 2 and 0.5, 1, 4.
    assert above.ratio(below) == {"wall": 2.0, "cpu": 1.0}


def test_timed_gives_the_result():
    result, times = timed(lambda: sum(range(10)))
    assert result == 45
    assert times["wall_seconds"] >= 0 and times["cpu_seconds"] >= 0


def test_timed_lets_errors_through():
    with pytest.raises(ZeroDivisionError):
        timed(lambda: 1 / 0)
