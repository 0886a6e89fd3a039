"""Results of a study made by hand."""

import pytest

from adapters_tf.study.grid import Setting
from adapters_tf.study.results import Result

BASE = 1000
TRAINED = {"adapters": 20, "full": 990, "layer_norm": 5, "head": 2, "no_bert": 50}


@pytest.fixture(scope="session")
def trial():
    """Function: one result, of which only what matters to a test is given."""

    def make(task, method, score, seed=0, *, metric="accuracy", **given):
        fields = {"epochs": 3}
        if method != "no_bert":
            fields["learning_rate"] = 1e-3
        if method == "adapters":
            fields["bottleneck_dim"] = 8
        if method == "top_n":
            fields["top_n"] = 1
        names = ("epochs", "learning_rate", "bottleneck_dim", "top_n", "batch_size")
        for name in (*names, "initializer_stddev"):
            if name in given:
                fields[name] = given.pop(name)
        values = {
            "metric": metric,
            "score": score,
            "dev": {metric: score},
            "majority_baseline": {metric: 0.5},
            "trained_parameters": TRAINED.get(method, 100),
            "base_parameters": 0 if method == "no_bert" else BASE,
            "train_rows": 100,
            "dev_rows": 40,
            "seconds": 1.0,
            "kind": "classification",
            "about": {"preset": "demo"},
        }
        return Result(Setting(task, method, seed=seed, **fields), **values | given)

    return make


@pytest.fixture(scope="session")
def study(trial):
    """Two tasks, two seeds; the means and errors are in the comments."""

    def seeds(task, method, first, second, **given):
        return [
            trial(task, method, score, seed, **given)
            for seed, score in enumerate((first, second))
        ]

    confusion = {"labels": ["no", "yes"], "counts": [[18, 2], [6, 14]]}
    return [
        *seeds("a", "full", 0.80, 0.84, learning_rate=1e-4),  # 0.82 ± 0.02
        *seeds("a", "full", 0.70, 0.70, learning_rate=1e-3),
        *seeds("a", "adapters", 0.78, 0.80),  # 0.79 ± 0.01
        *seeds(
            "a",
            "adapters",
            0.81,
            0.79,  # 0.80 ± 0.01
            bottleneck_dim=64,
            trained_parameters=100,
            confusion=confusion,
        ),
        *seeds("b", "full", 0.60, 0.60, learning_rate=1e-4, metric="f1"),  # 0.60 ± 0
        *seeds("b", "adapters", 0.62, 0.62, metric="f1", trained_parameters=40),
        *seeds(
            "b",
            "adapters",
            0.55,
            0.57,  # 0.56 ± 0.01
            metric="f1",
            bottleneck_dim=64,
            trained_parameters=120,
        ),
    ]
