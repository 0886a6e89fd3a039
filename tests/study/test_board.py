"""What is seen of a sweep on a terminal and elsewhere."""

import io
import sys
import types

from adapters_tf.study.board import Board


def show(make_result, monkeypatch, terminal):
    """What `Board` writes while the second of two trials runs."""
    first = make_result("trec", "head", 0.25)
    running = first.setting.with_seed(1)
    plan = types.SimpleNamespace(
        wanted=lambda results: [first.setting, running], num_trials=2
    )
    results = {}
    store = types.SimpleNamespace(results=lambda: results)
    output = io.StringIO()
    monkeypatch.setattr(output, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stdout", output)
    with Board(plan, store) as board:
        results[first.setting.name] = first
        board.update([running.name])
    return output.getvalue()


def test_on_a_terminal_a_table_with_what_runs_below(make_result, monkeypatch):
    text = show(make_result, monkeypatch, terminal=True)
    assert (
        "│ trec │ 25.0 │\n└──────┴──────┘\n1/2 trials, less than 1 min left\n" in text
    )
    # However narrow the table is.
    assert "\ntrec.head.lr0.001.e3.s1" in text


def test_elsewhere_a_line_for_each_trial(make_result, monkeypatch):
    text = show(make_result, monkeypatch, terminal=False)
    line = "1/2 trec.head.lr0.001.e3.s0: accuracy 0.2500, 2 s, less than 1 min left\n"
    assert text == line
