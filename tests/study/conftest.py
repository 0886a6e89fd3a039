"""Results without any training."""

import pytest

from adapters_tf.study.grid import Setting
from adapters_tf.study.results import Result


@pytest.fixture
def make_result():
    """Function: a result of this task, method and score; more are `Setting`'s."""

    def make(task, method, score, seed=0, **fields):
        if method == "adapters":
            fields.setdefault("bottleneck_dim", 64)
        fields.setdefault("learning_rate", 1e-3)
        setting = Setting(task, method, fields.pop("epochs", 3), seed, **fields)
        return Result(
            setting=setting,
            metric="accuracy",
            score=score,
            dev={"accuracy": score},
            majority_baseline={"accuracy": 0.5},
            trained_parameters=100,
            base_parameters=10000,
            train_rows=8,
            dev_rows=4,
            seconds=1.5,
            kind="classification",
        )

    return make


@pytest.fixture
def ablation():
    """The JSON value of an ablation of three layers."""
    scores = {(0, 0): 0.8, (0, 1): 0.76, (0, 2): 0.4}
    scores |= {(1, 1): 0.784, (1, 2): 0.5, (2, 2): 0.6}
    return {
        "kind": "layer_ablation",
        "task": "a",
        "metric": "accuracy",
        "num_layers": 3,
        "adapter": "out/adapter",
        "dev_rows": 40,
        "majority_baseline": {"accuracy": 0.4},
        "full": {"accuracy": 0.8},
        "spans": [
            {"first": first, "last": last, "dev": {"accuracy": score}}
            for (first, last), score in scores.items()
        ],
    }
