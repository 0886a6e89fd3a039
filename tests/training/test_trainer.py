"""The trainer against `fit`, its checkpoints and its settings."""

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.batches import train_batches
from adapters_tf.data.examples import Examples
from adapters_tf.errors import UserError
from adapters_tf.models.backbones import BertAdapterBackbone
from adapters_tf.models.features import Features
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.models.optimizer import LinearWarmupDecay, create_optimizer
from adapters_tf.models.task import Task
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.kinds import kind_named
from adapters_tf.training.config import TrainConfig, TrainJob
from adapters_tf.training.model_pool import build_task_model
from adapters_tf.training.predict import Predictor
from adapters_tf.training.prefix_states import HiddenStatesComputer
from adapters_tf.training.trainer import AdapterTrainer

prepare = kind_named("classification").prepare

TEXTS = ["the film was good", "a bad plot", "so very fine and lovely", "sad actor"] * 5
LABELS = np.array([1, 0, 1, 0] * 5, np.int32)
TASK = Task("t", "classification", ("text",), ("neg", "pos"))
CONFIG = TrainConfig(epochs=2, batch_size=8, learning_rate=1e-2, seed=3)


@pytest.fixture
def make_model(tiny_preset):
    def make(**kwargs):
        job = TrainJob(
            preset=tiny_preset,
            adapter=AdapterConfig(bottleneck_dim=4),
            seq_length=16,
            config=CONFIG,
            **kwargs,
        )
        rows = Examples((TEXTS,), LABELS)
        return build_task_model(job, TASK), rows

    return make


def test_rows_as_long_as_the_base_has_positions(tmp_path):
    """13 of them, which is no multiple of what batches are padded to."""
    kwargs = {"vocabulary_size": 30, "num_layers": 2, "num_heads": 2}
    kwargs |= {"hidden_dim": 8, "intermediate_dim": 8, "max_sequence_length": 13}
    backbone = BertAdapterBackbone(
        **kwargs, adapter=AdapterConfig(bottleneck_dim=4, layers=(1,))
    )
    model = AdapterTextClassifier(backbone, 2)
    ids = np.random.default_rng(0).integers(5, 30, 26).astype(np.int32)
    rows = Features(ids, 0 * ids, np.array([0, 13, 26]), np.array([0, 1], np.int32))
    trainer = AdapterTrainer(model, rows, CONFIG)
    assert np.isfinite(trainer.train(tf.constant(2))["loss"])
    x = rows.batch(np.arange(2), length=13)
    expected = model(x, training=False)
    np.testing.assert_allclose(Predictor(model)(rows), expected, atol=1e-6)
    ((_, state), _), *_ = HiddenStatesComputer(FrozenPrefix(model))(rows, [0, 1])
    assert len(state) == 13 * 8 * 4


def test_rows_without_labels(make_model):
    model, _ = make_model()
    features = prepare(Examples((TEXTS,)), model.preprocessor).features
    with pytest.raises(ValueError, match="Received: labels=None"):
        AdapterTrainer(model, features, CONFIG)


def test_layers_that_were_frozen_by_hand(make_model):
    model, rows = make_model()
    features = prepare(rows, model.preprocessor).features
    trainer = AdapterTrainer(model, features, CONFIG)
    model.backbone.trainable = False
    for call in (
        lambda: trainer.restart(features, CONFIG),
        lambda: AdapterTrainer(model, features, CONFIG),
    ):
        with pytest.raises(UserError, match="frozen, such as"):
            call()


def weights(model):
    return [v.numpy() for v in model.trainable_variables]


def test_trainer_and_fit_give_the_same_weights(make_model):
    model, rows = make_model()
    features = prepare(rows, model.preprocessor).features
    trainer = AdapterTrainer(model, features, CONFIG)
    assert (trainer.steps_per_epoch, trainer.total_steps) == (3, 6)
    trainer.train(tf.constant(6))

    other, _ = make_model()
    schedule = LinearWarmupDecay(CONFIG.learning_rate, 6, 1)
    other.compile(
        create_optimizer(other.trainable_variables, schedule), seed=CONFIG.seed
    )

    def batches():
        for epoch in range(2):
            for chosen in train_batches(features.lengths, 8, CONFIG.seed, epoch):
                yield features.batch(chosen), LABELS[chosen]

    inputs = tf.TensorSpec([None, None], tf.int32)
    names = ("token_ids", "segment_ids", "padding_mask")
    spec = ({n: inputs for n in names}, tf.TensorSpec([None], tf.int32))
    data = tf.data.Dataset.from_generator(batches, output_signature=spec)
    other.fit(data, epochs=1, verbose=0)
    for ours, theirs in zip(weights(model), weights(other), strict=True):
        # Two graphs round differently; a fault in the step would show in 1e-3.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_one_device_reads_batches_that_nothing_tunes(make_model):
    """A thread that tunes an iterator held up the end of processes with many runs."""
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        model, rows = make_model()
        trainer = AdapterTrainer(
            model, prepare(rows, model.preprocessor).features, CONFIG
        )
    assert trainer.train_dataset.options().autotune.enabled is False
    first = trainer.train_dataset
    trainer.restart(trainer.features, CONFIG)
    assert trainer.train_dataset is not first
    assert trainer.train_dataset.options().autotune.enabled is False


def test_batches_of_other_lengths_are_no_other_trace(make_model):
    model, _ = make_model()
    rows = Examples((["so very " * 5, "sad", *TEXTS],), np.append([1, 0], LABELS))
    features = prepare(rows, model.preprocessor).tokens
    trainer = AdapterTrainer(model, features, CONFIG)
    lengths = []
    padded = trainer._padded_length
    trainer._padded_length = lambda rows: lengths.append(padded(rows)) or lengths[-1]
    for _ in range(2):
        trainer.train(tf.constant(trainer.steps_per_epoch))
    assert len(set(lengths)) > 1
    assert trainer._train_loop_fn.experimental_get_tracing_count() == 1


def test_restored_trainer_goes_on_to_the_same_bits(make_model, tmp_path):
    model, rows = make_model()
    features = prepare(rows, model.preprocessor).features
    whole = AdapterTrainer(model, features, CONFIG)
    whole.train(tf.constant(4))  # one step into the second epoch
    path = whole.checkpoint().save(str(tmp_path / "ckpt"))
    whole.train(tf.constant(2))

    second, _ = make_model()
    rest = AdapterTrainer(second, features, CONFIG)
    rest.checkpoint().restore(path).assert_consumed()
    assert int(rest.global_step) == 4
    rest.train(tf.constant(2))
    for a, b in zip(weights(model), weights(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_checkpoint_holds_only_what_is_trained(make_model, tmp_path):
    model, rows = make_model()
    features = prepare(rows, model.preprocessor).features
    path = (
        AdapterTrainer(model, features, CONFIG).checkpoint().save(str(tmp_path / "c"))
    )
    saved = dict(tf.train.list_variables(path))
    trained = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    # Weights and two slots, and a few scalars.
    held = sum(int(np.prod(shape)) for shape in saved.values())
    assert 3 * trained <= held < 3 * trained + 10


def test_checkpoint_of_bert_base_is_under_40_megabytes(tmp_path):
    # Sizes that nothing trained depends on are small here.
    backbone = BertAdapterBackbone(
        vocabulary_size=10,
        num_layers=12,
        num_heads=12,
        hidden_dim=768,
        intermediate_dim=8,
        max_sequence_length=8,
        adapter=AdapterConfig(64),
    )
    model = AdapterTextClassifier(backbone, num_classes=2)
    one = np.arange(2)
    features = Features(one[:1], one[:1], one, np.zeros(1, np.int32))
    AdapterTrainer(model, features, CONFIG).checkpoint().save(str(tmp_path / "c"))
    trained = 24 * (2 * 768 * 64 + 64 + 768) + 25 * 2 * 768 + 2 * 769
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert 3 * 4 * trained < size < 30e6


def test_loss_of_a_loop_is_the_mean_over_its_examples(make_model):
    model, rows = make_model()
    features = prepare(rows, model.preprocessor).features
    config = TrainConfig(epochs=1, batch_size=8, learning_rate=1e-9)
    trainer = AdapterTrainer(model, features, config)
    result = trainer.train(tf.constant(3))
    assert result["examples"] == 20  # 8 + 8 + 4
    logits = np.stack(Predictor(model)(features))
    logits = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    plain = -logits[np.arange(20), LABELS].mean()
    # Up to dropout, which training has and this does not.
    assert result["loss"] == pytest.approx(plain, rel=0.3)


def test_predictions_come_in_the_order_of_the_rows(make_model):
    model, _ = make_model()
    texts = ["good", "the film was very very good", "a bad plot", "sad"]
    features = prepare(Examples((texts,)), model.preprocessor).features
    together = np.stack(Predictor(model, batch_size=2)(features))
    for i, text in enumerate(texts):
        alone = prepare(Examples(([text],)), model.preprocessor).features
        np.testing.assert_allclose(
            together[i], Predictor(model)(alone)[0], rtol=1e-4, atol=1e-5
        )


def test_mixed_bfloat16_trains_and_keeps_float32_variables(make_model):
    model, rows = make_model(precision="mixed_bfloat16")
    assert {str(v.dtype) for v in model.trainable_variables} == {"float32"}
    trainer = AdapterTrainer(model, prepare(rows, model.preprocessor).features, CONFIG)
    before = weights(model)
    assert np.isfinite(trainer.train(tf.constant(6))["loss"])
    changed = [
        not np.array_equal(a, b) for a, b in zip(before, weights(model), strict=True)
    ]
    assert all(changed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", -1),
        ("learning_rate", float("nan")),
        ("warmup_proportion", 1.1),
        ("seed", -1),
    ],
)
def test_bad_settings_are_named(field, value):
    with pytest.raises(ValueError, match=f"{field} must be .*Received: {field}="):
        TrainConfig(**{field: value})
