"""Runs that read kept hidden states against runs that compute them in each step."""

import dataclasses
import logging

import numpy as np
import pytest
import tensorflow as tf
from absl import logging as absl_logging
from safetensors.numpy import load_file

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.batches import train_batches
from adapters_tf.data.examples import Examples, TaskData
from adapters_tf.errors import UserError
from adapters_tf.models.backbones import (
    BertAdapterBackbone,
    ExactGeluBertAdapterBackbone,
)
from adapters_tf.models.features import Features
from adapters_tf.models.fingerprint import prefix_fingerprint
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.models.optimizer import LinearWarmupDecay, create_optimizer
from adapters_tf.models.task import Task
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.kinds import kind_named
from adapters_tf.training import prefix_cache, prefix_states
from adapters_tf.training.config import TrainConfig, TrainJob
from adapters_tf.training.devices import get_strategy
from adapters_tf.training.model_pool import ModelPool, build_task_model
from adapters_tf.training.predict import Predictor
from adapters_tf.training.prefix_cache import CacheConfig, PrefixCache
from adapters_tf.training.prefix_states import (
    HiddenStates,
    HiddenStatesComputer,
    RowKeys,
)
from adapters_tf.training.prefix_stores import DiskStore, StoreFailed
from adapters_tf.training.run import run_job
from adapters_tf.training.trainer import AdapterTrainer

prepare = kind_named("classification").prepare

TEXTS = ["the film was good", "a bad plot", "so very fine and lovely", "sad actor"]
TEXTS = [f"{a} {b}" for a in TEXTS for b in ("", "it was so", *TEXTS[:3])]
LABELS = np.array([i // 5 % 2 for i in range(20)], np.int32)
TASK = Task("t", "classification", ("text",), ("neg", "pos"))
DATA = TaskData(TASK, Examples((TEXTS,), LABELS), Examples((TEXTS[3:12],), LABELS[:9]))
METHODS = {
    "adapters": Tuning("adapters"),
    "top_n": Tuning("top_n", 1),
    "head": Tuning("head"),
}


def make_job(preset, method="adapters", **kwargs):
    config = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-2, "seed": 3}
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    config |= {k: kwargs.pop(k) for k in list(kwargs) if k in names}
    return TrainJob(
        preset=preset,
        tuning=METHODS[method],
        adapter=AdapterConfig(bottleneck_dim=4, layers=(1,)),
        seq_length=16,
        config=TrainConfig(**config),
        **kwargs,
    )


@pytest.fixture(scope="module")
def models():
    """The models of the runs, which train them to the same bits as new ones."""
    return ModelPool(4)


@pytest.fixture(scope="module")
def strategy():
    """One device. Runs share a model only under the same strategy object."""
    return get_strategy("one_device")


@pytest.fixture
def run(models, strategy, tiny_preset, tmp_path):
    """Function: train; returns the adapter's tensors and the metrics."""
    count = 0

    def run(cache, method="adapters", **kwargs):
        nonlocal count
        count += 1
        out = tmp_path / f"run{count}"
        job = make_job(tiny_preset, method, **kwargs)
        if not isinstance(cache, PrefixCache):
            cache = PrefixCache(
                CacheConfig(cache, directory=str(tmp_path / "states")), shared=True
            )
        metrics = run_job(
            job, DATA, str(out), {}, strategy=strategy, pool=models, cache=cache
        )
        metrics.pop("examples_per_second")
        return load_file(out / "adapter" / "adapter.safetensors"), metrics

    return run


@pytest.fixture(scope="module")
def one_model(tiny_preset):
    """A pool with one model, for the tests that train or change it themselves."""
    pool = ModelPool(1)
    pool.get(make_job(tiny_preset), TASK)
    return pool


@pytest.fixture
def features(one_model, tiny_preset):
    """A model as new, and the tokens of the training rows."""
    model = one_model.get(make_job(tiny_preset), TASK).model
    return model, prepare(DATA.train, model.preprocessor).features


@pytest.fixture
def warnings(caplog):
    absl_logging.get_absl_logger().propagate = True
    caplog.set_level(logging.WARNING)
    return lambda: [r.getMessage() for r in caplog.records if r.name.startswith("absl")]


def same(a, b):
    """Equal but for rounding, of the size that another graph has."""
    assert a[0].keys() == b[0].keys() and a[1].keys() == b[1].keys()
    for name, tensor in a[0].items():
        # A key's bias cancels out in the softmax: its gradient is rounding alone.
        if not name.endswith("key/bias"):
            np.testing.assert_allclose(tensor, b[0][name], 1e-5, 1e-6, err_msg=name)
    assert a[1]["dev"] == pytest.approx(b[1]["dev"])


def exactly(a, b):
    for name, tensor in a[0].items():
        np.testing.assert_array_equal(tensor, b[0][name], err_msg=name)
    assert a[1] == b[1]


@pytest.mark.parametrize("method", METHODS)
def test_same_weights_with_and_without(run, method, capsys):
    plain = run("off", method)
    assert "frozen blocks" not in capsys.readouterr().out
    kept = run("memory", method)
    blocks = 2 if method == "head" else 1
    assert (
        f"frozen blocks: {blocks} of 2, computed once for 20 different rows, "
        "20 of them new; 0 MB in memory" in capsys.readouterr().out
    )
    same(kept, plain)


def test_fit_gives_the_weights_of_a_run_that_reads_them(features, tiny_preset):
    model, rows = features
    config = make_job(tiny_preset).config
    (kept,) = PrefixCache(CacheConfig("memory")).rows(FrozenPrefix(model), [rows], 3)
    trainer = AdapterTrainer(model, kept, config)
    trainer.train(tf.constant(trainer.total_steps))

    other = build_task_model(make_job(tiny_preset), TASK)
    schedule = LinearWarmupDecay(config.learning_rate, 9, 1)
    other.compile(
        create_optimizer(other.trainable_variables, schedule), seed=config.seed
    )

    def batches():
        for epoch in range(3):
            for chosen in train_batches(rows.lengths, 8, config.seed, epoch):
                yield rows.batch(chosen), rows.labels[chosen]

    spec = rows.specs(), tf.TensorSpec([None], tf.int32)
    data = tf.data.Dataset.from_generator(batches, output_signature=spec)
    other.fit(data, epochs=1, verbose=0)
    assert trainer.total_steps == 9
    for ours, theirs in zip(
        model.trainable_variables, other.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, 1e-5, 1e-6, err_msg=ours.path)


def test_disk_and_memory_are_equal_to_the_bit(run, capsys):
    first = run("memory")
    exactly(run("disk"), first)
    assert capsys.readouterr().out.count("20 of them new") == 2
    # Another process's run, as it were, with other adapters and another seed.
    other = run("disk", seed=4)
    assert "20 different rows, 0 of them new" in capsys.readouterr().out
    exactly(other, run("memory", seed=4))


def test_bfloat16(run):
    plain = run("off", precision="mixed_bfloat16")
    kept = run("memory", precision="mixed_bfloat16")
    for name, tensor in plain[0].items():
        # Half of it is float32's rounding, through three epochs at a high rate.
        np.testing.assert_allclose(tensor, kept[0][name], 0, 5e-3, err_msg=name)


def test_trials_share_what_was_computed(run, capsys):
    cache = PrefixCache(CacheConfig("auto"), shared=True)
    run(cache, seed=1)
    shared = run(cache, seed=2, learning_rate=3e-3, epochs=1)
    run(cache, "top_n", epochs=1)  # the same cut of another model
    lines = [x for x in capsys.readouterr().out.splitlines() if "frozen blocks" in x]
    assert ["20 of them new" in line for line in lines] == [True, False, False]
    exactly(shared, run("memory", seed=2, learning_rate=3e-3, epochs=1))


def test_a_row_s_states_do_not_depend_on_the_rows_beside_it(features):
    model, rows = features
    compute = HiddenStatesComputer(FrozenPrefix(model))

    def states(chosen):
        return {row: value for some in compute(rows, chosen) for row, value in some}

    together = states(range(20))
    assert len(together) == 20
    for row, value in together.items():
        assert len(value) == 16 * 4 * rows.lengths[row]
    for chosen in ([7], [3, 12, 4], list(range(19, 5, -1))):
        for row, value in states(chosen).items():
            assert value == together[row]
    x = {
        name: tf.constant(v)
        for name, v in rows.batch(np.array([7]), multiple=1).items()
    }
    plain = FrozenPrefix(model).lower(x)[0]
    ours = np.frombuffer(together[7], np.float32).reshape(-1, 16)
    np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-5)


def test_keys_are_of_tokens_and_of_what_lies_below(features, other_preset):
    model, rows = features
    row_keys = RowKeys(FrozenPrefix(model))
    keys = row_keys(rows)
    assert len(set(keys)) == 20
    # Other rows of the same tokens, and other trained values, have the same.
    for variable in model.trainable_variables:
        variable.assign(variable + 1)
    part = prepare(Examples((TEXTS[4:6],)), model.preprocessor).features
    assert row_keys(part) == RowKeys(FrozenPrefix(model))(part) == keys[4:6]
    segments = dataclasses.replace(rows, segment_ids=1 - rows.segment_ids)
    assert not set(row_keys(segments)) & set(keys)
    # One row of two rows' tokens.
    joined = Features(rows.token_ids, rows.segment_ids, rows.offsets[[0, 2, 20]])
    assert not set(row_keys(joined)) & set(keys)
    base = build_task_model(make_job(other_preset), TASK)
    assert not set(RowKeys(FrozenPrefix(base))(rows)) & set(keys)


def test_keys_are_of_how_it_is_computed(features, tiny_preset):
    model, rows = features
    weights = {v.path: v.numpy() for v in model.backbone.weights}

    def copy(cls, **changes):
        """The same bytes in another backbone."""
        backbone = cls.from_config(model.backbone.get_config() | changes)
        for variable in backbone.weights:
            variable.assign(weights[variable.path].reshape(variable.shape))
        return AdapterTextClassifier(backbone, 2)

    half = make_job(tiny_preset, precision="mixed_bfloat16")
    models = [
        model,
        copy(ExactGeluBertAdapterBackbone),
        copy(BertAdapterBackbone, num_heads=4),
        build_task_model(half, TASK),
    ]
    keys = [RowKeys(FrozenPrefix(m))(rows) for m in models]
    assert len(set(sum(keys, []))) == 4 * 20
    assert RowKeys(FrozenPrefix(copy(BertAdapterBackbone)))(rows) == keys[0]


def test_windows_of_rows_are_traced_and_hashed_once(features, tmp_path, monkeypatch):
    model, rows = features
    hashed, computers = [], set()
    monkeypatch.setattr(
        prefix_states,
        "prefix_fingerprint",
        lambda *args: hashed.append(args) or prefix_fingerprint(*args),
    )
    cache = PrefixCache(CacheConfig("disk", directory=str(tmp_path)))
    prefix = FrozenPrefix(model)
    for start in range(0, 20, 5):
        part = prepare(Examples((TEXTS[start : start + 5],)), model.preprocessor)
        (kept,) = cache.rows(prefix, [part.features, part.features], 1)[:1]
        computers.add(kept._compute)
    (compute,) = computers
    assert compute._run.experimental_get_tracing_count() == 1
    assert len(hashed) == 1


def test_models_of_several_bases_take_turns(features, other_preset):
    model, rows = features
    other = build_task_model(make_job(other_preset), TASK)
    cache, found = PrefixCache(CacheConfig("memory")), []
    x = rows.batch(np.arange(20))
    for one in (model, other, model):
        (kept,) = cache.rows(FrozenPrefix(one), [rows], 2)
        expected = FrozenPrefix(one).lower(x) * x["padding_mask"][..., None]
        found.append(kept.batch(np.arange(20))["hidden_states"])
        np.testing.assert_allclose(found[-1], expected, rtol=0, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_damage_on_disk_is_computed_anew(run, tmp_path, warnings):
    whole = run("disk")
    (path,) = (tmp_path / "states").iterdir()
    data = bytearray(path.read_bytes())
    for place in range(40_000, len(data), 5_000):
        data[place] ^= 255
    path.write_bytes(data)
    exactly(run("disk"), whole)
    assert any("damaged" in line for line in warnings())


def test_the_next_trial_after_damage_has_a_new_file(features, tmp_path, warnings):
    model, rows = features
    cache = PrefixCache(CacheConfig("disk", directory=str(tmp_path)))
    prefix = FrozenPrefix(model)

    def is_kept():
        return isinstance(cache.rows(prefix, [rows], 2)[0], HiddenStates)

    assert is_kept()
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"no database" * 1000)
    assert [is_kept(), is_kept()] == [False, True]
    assert path.exists()
    assert "damaged" in warnings()[0]


def test_a_full_disk_ends_the_cache_and_not_the_run(run, monkeypatch, warnings):
    def full(self, items):
        raise StoreFailed("states.sqlite: database or disk is full")

    monkeypatch.setattr(DiskStore, "put", full)
    exactly(run("disk", epochs=1), run("off", epochs=1))
    (line,) = warnings()
    assert "are not kept: states.sqlite: database or disk is full" in line


def test_no_room(run, warnings, capsys):
    cache = PrefixCache(CacheConfig("memory", gigabytes=1e-6))
    run(cache, epochs=1)
    (line,) = warnings()
    assert "take 0.0 GB, more than 0.0 GB of memory: they are not kept" in line


def test_auto(features, monkeypatch, tmp_path, capsys):
    model, rows = features
    prefix = FrozenPrefix(model)

    def place(cache, passes):
        (part,) = cache.rows(prefix, [rows], passes)
        return type(part._store).__name__ if isinstance(part, HiddenStates) else "off"

    config = CacheConfig("auto", directory=str(tmp_path))
    assert place(PrefixCache(config), 1) == "off"
    assert place(PrefixCache(config), 2) == "MemoryStore"
    assert place(PrefixCache(config, shared=True), 1) == "MemoryStore"
    monkeypatch.setattr(prefix_cache, "free_memory", lambda: 1000)
    assert place(PrefixCache(config), 2) == "DiskStore"
    capsys.readouterr()
    few = CacheConfig("auto", 1e-6, str(tmp_path / "new"))
    assert place(PrefixCache(few), 2) == "off"
    assert "they are not kept. Another cache_gb allows more" in capsys.readouterr().out
    assert place(PrefixCache(CacheConfig("off")), 2) == "off"
    # Nothing lies below what is trained.
    for mode, line in (("auto", ""), ("memory", "cache=memory has nothing to keep")):
        assert PrefixCache(CacheConfig(mode)).rows(None, [rows], 2) == [rows]
        assert line in capsys.readouterr().out


def test_processes_share_the_disk_and_divide_the_memory(
    features, monkeypatch, tmp_path
):
    model, rows = features
    config = CacheConfig("auto", directory=str(tmp_path), processes=2)
    (kept,) = PrefixCache(config).rows(FrozenPrefix(model), [rows], 2)
    assert isinstance(kept._store, DiskStore)
    monkeypatch.setattr(prefix_cache, "free_memory", lambda: 8_000)

    def limit(*args):
        cache = PrefixCache(CacheConfig("memory", *args, processes=4))
        return cache._memory_store().limit

    assert [limit(), limit(2)] == [1_000, 500_000_000]


def test_predictions_of_hidden_states(features):
    model, rows = features
    cache = PrefixCache(CacheConfig("memory"))
    (kept,) = cache.rows(FrozenPrefix(model), [rows], 1)
    predict = Predictor(model, batch_size=6)
    for a, b in zip(predict(rows), predict(kept), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_bad_settings():
    with pytest.raises(UserError, match="cache must be one of auto, .* Received: 'on'"):
        CacheConfig("on")
    with pytest.raises(UserError, match="cache_gb must be above 0. Received: .*=-1"):
        CacheConfig("memory", -1)
    with pytest.raises(UserError, match="must be 1 or more. Received: processes=0"):
        CacheConfig(processes=0)


def test_several_workers(monkeypatch):
    monkeypatch.setattr(prefix_cache, "num_workers", lambda strategy: 2)
    assert PrefixCache(CacheConfig("auto")).rows(None, [], 2) == []
    with pytest.raises(UserError, match="several workers, cache must be auto or off"):
        PrefixCache(CacheConfig("disk")).rows(None, [], 2)
