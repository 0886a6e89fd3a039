"""Runs that share a model against runs of their own."""

import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.examples import Examples, TaskData
from adapters_tf.errors import UserError
from adapters_tf.models.task import Task
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.training.config import TrainConfig, TrainJob
from adapters_tf.training.devices import get_strategy
from adapters_tf.training.model_pool import ModelPool, build_task_model
from adapters_tf.training.run import run_job
from adapters_tf.training.trainer import AdapterTrainer

TEXTS = ["the film was good", "a bad plot", "so very fine and lovely", "sad actor"] * 5
TASK = Task("t", "classification", ("text",), ("neg", "pos"))
ROWS = Examples((TEXTS,), np.array([1, 0, 1, 0] * 5, np.int32))
OTHER_ROWS = Examples((TEXTS[:12],), np.array([0, 1, 0, 1] * 3, np.int32))
DATA, OTHER = TaskData(TASK, ROWS, ROWS), TaskData(TASK, OTHER_ROWS, ROWS)


def make_job(preset, method, **config):
    return TrainJob(
        preset=preset,
        tuning=Tuning(method),
        adapter=AdapterConfig(bottleneck_dim=4),
        seq_length=16,
        config=TrainConfig(**{"epochs": 2, "batch_size": 8, **config}),
    )


@pytest.mark.parametrize("method", ["adapters", "full", "layer_norm"])
def test_third_run_of_a_pool_is_a_run_of_its_own_to_the_bit(
    tiny_preset, tmp_path, method, monkeypatch
):
    built = []
    init = AdapterTrainer.__init__

    def counted(self, *args):
        init(self, *args)
        built.append(self)

    monkeypatch.setattr(AdapterTrainer, "__init__", counted)
    pool, strategy = ModelPool(1), get_strategy("one_device")
    runs = [
        (make_job(tiny_preset, method, learning_rate=1e-2, seed=1), DATA),
        (make_job(tiny_preset, method, learning_rate=1e-3, seed=2, epochs=1), OTHER),
        (make_job(tiny_preset, method, learning_rate=3e-3, seed=3), DATA),
    ]
    for i, (job, data) in enumerate(runs):
        out = str(tmp_path / f"pool{i}")
        shared = run_job(job, data, out, {}, strategy=strategy, pool=pool)
    (trainer,) = built
    assert trainer._train_loop_fn.experimental_get_tracing_count() == 1

    job, data = runs[-1]
    alone = run_job(job, data, str(tmp_path / "alone"), {})
    assert len(built) == 2
    speed = shared.pop("examples_per_second"), alone.pop("examples_per_second")
    assert all(speed) and shared == alone
    tensors = [
        load_file(tmp_path / run / "adapter" / "adapter.safetensors")
        for run in ("pool2", "alone")
    ]
    assert tensors[0].keys() == tensors[1].keys()
    for name, value in tensors[0].items():
        np.testing.assert_array_equal(value, tensors[1][name], err_msg=name)


def test_a_preset_whose_base_was_changed_by_hand(tiny_preset, tmp_path):
    preset = str(tmp_path / "preset")
    model = build_task_model(make_job(tiny_preset, "adapters"), TASK)
    bias = model.backbone.pooled_dense.bias
    bias.assign(bias + 1)
    model.save_to_preset(preset)
    with pytest.raises(UserError, match="1 of its variables, such as pooled_dense"):
        run_job(make_job(preset, "adapters"), DATA, str(tmp_path / "run"), {})


def test_a_stopped_run_does_not_go_on_with_other_rows_or_another_base(
    tiny_preset, tmp_path
):
    job, run = make_job(tiny_preset, "head", epochs=1), tmp_path / "run"
    run_job(job, DATA, str(run), {"seed": 0})
    settings = json.loads((run / "settings.json").read_text())
    (run / "metrics.json").unlink()  # as if it was stopped just before its end
    swapped = dataclasses.replace(ROWS, labels=1 - ROWS.labels)
    for data in (TaskData(TASK, swapped, ROWS), TaskData(TASK, ROWS, swapped)):
        with pytest.raises(UserError, match="rows or labels have changed"):
            run_job(job, data, str(run), {"seed": 0})
    other_base = settings | {"base_fingerprint": "sha256:other"}
    (run / "settings.json").write_text(json.dumps(other_base))
    with pytest.raises(UserError, match="the weights of the base have changed"):
        run_job(job, DATA, str(run), {"seed": 0})
    (run / "settings.json").write_text(json.dumps(settings))
    assert run_job(job, DATA, str(run), {"seed": 0})["steps"] == 3
    assert json.loads((run / "settings.json").read_text()) == settings
    assert settings["base_fingerprint"].startswith("sha256:")


def test_other_models_are_other_ones_and_only_the_last_are_kept(tiny_preset):
    pool = ModelPool(2)
    job = make_job(tiny_preset, "adapters")
    first = pool.get(job, TASK)
    assert pool.get(dataclasses.replace(job, preset=job.preset), TASK) is first
    head = make_job(tiny_preset, "head")
    three = dataclasses.replace(TASK, labels=("a", "b", "c"))
    assert pool.get(head, TASK) is not first
    assert pool.get(job, TASK) is first  # used last, so the other one goes
    assert pool.get(job, three).model.output_shape == (None, 3)
    assert pool.get(job, TASK) is first
    for changed in (
        dataclasses.replace(job, seq_length=12),
        dataclasses.replace(job, adapter=AdapterConfig(bottleneck_dim=8)),
        make_job(tiny_preset, "adapters", weight_decay=0.5),
    ):
        assert pool.get(changed, TASK) is not first


def test_initial_values_follow_from_seed_and_path(tiny_preset):
    job = make_job(tiny_preset, "adapters", seed=5)
    a, b = build_task_model(job, TASK), build_task_model(job, TASK)
    weights = {v.path: v.numpy() for v in a.trainable_variables}
    for v in b.trainable_variables:
        np.testing.assert_array_equal(v.numpy(), weights[v.path])
    # Fewer adapters: those that are left have the same values.
    one = dataclasses.replace(job, adapter=AdapterConfig(bottleneck_dim=4, layers=[1]))
    same = 0
    for v in build_task_model(one, TASK).trainable_variables:
        np.testing.assert_array_equal(v.numpy(), weights[v.path])
        same += "transformer_layer_1/attention_adapter" in v.path
    assert same == 4
    # All of them differ from one another, and have the initialiser's spread.
    kernels = [w for path, w in weights.items() if path.endswith("projection/kernel")]
    assert len({w.tobytes() for w in kernels}) == len(kernels) == 8
    assert 0.007 < np.concatenate([w.ravel() for w in kernels]).std() < 0.011
    assert all(abs(w).max() <= 0.0228 for w in kernels)  # cut at two deviations
    other = build_task_model(make_job(tiny_preset, "adapters", seed=6), TASK)
    assert not np.array_equal(other.trainable_variables[-2], weights["logits/kernel"])


def test_a_step_that_would_be_traced_anew_is_refused(tiny_preset):
    job = make_job(tiny_preset, "adapters")
    model = build_task_model(job, TASK)
    pool = ModelPool(1)
    features = pool.prepare(ROWS, job, model).features
    assert pool.prepare(ROWS, job, model).features is features
    trainer = AdapterTrainer(model, features, job.config)
    other = dataclasses.replace(job.config, clip_norm=2.0)
    with pytest.raises(ValueError, match="'clip_norm': 2.0.*after.*'clip_norm': 1.0"):
        trainer.restart(features, other)
