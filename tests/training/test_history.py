"""The dev metrics of epochs."""

import json

from adapters_tf.training.history import History


def test_best_is_the_first_of_equals_and_survives(tmp_path):
    history = History(tmp_path, True, 0)
    for epoch, value in enumerate((0.5, 0.8, 0.8, float("nan"), 0.7), 1):
        dev = {"accuracy": value, "loss": 1 - epoch}
        assert history.is_best(dev) == (epoch in (1, 2))
        history.add({"epoch": epoch, "step": 3 * epoch, "dev": dev})
    again = History(tmp_path, True, 5)
    assert again.best["epoch"] == history.best["epoch"] == 2
    assert again.scores["accuracy"] == 0.7
    # From a checkpoint of the first epoch, the later ones are yet to come.
    earlier = History(tmp_path, True, 1)
    assert [e["epoch"] for e in earlier.epochs] == [1]
    assert earlier.is_best({"accuracy": 0.6})


def test_only_the_chief_writes(tmp_path):
    History(tmp_path, False, 0).add({"epoch": 1, "step": 3, "dev": {"f1": 1.0}})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "history.json").write_text(json.dumps({"epochs": 3}))
    assert History(tmp_path, True, 0).epochs == []
