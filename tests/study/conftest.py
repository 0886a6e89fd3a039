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
