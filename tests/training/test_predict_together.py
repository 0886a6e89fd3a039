"""Several adapters at once against each of them alone."""

import dataclasses

import numpy as np
import pytest

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.examples import Examples
from adapters_tf.errors import UserError
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.models.task import Task
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.training import predict_texts, prefix_states
from adapters_tf.training.config import TrainConfig, TrainJob
from adapters_tf.training.model_pool import build_task_model
from adapters_tf.training.predict_texts import AdaptersTogether, LoadedAdapter

MOOD = Task("mood", "classification", ("text",), ("neg", "pos"))
TOPIC = Task("topic", "classification", ("text",), ("a", "b", "c"))
SCORE = Task("score", "regression", ("text",))
TEXTS = ["the film was good", "a bad plot", "so very fine and lovely", "sad", "good"]
TEXTS += TEXTS[:2]
ROWS = Examples((TEXTS,))


@pytest.fixture
def make(tiny_preset, tmp_path):
    """Function: the directory of an adapter with random weights."""

    def make(name, task, method="adapters", layers=(1,), seed=0, **kwargs):
        job = TrainJob(
            preset=tiny_preset,
            tuning=Tuning(method),
            adapter=AdapterConfig(bottleneck_dim=4, layers=layers),
            seq_length=16,
            config=TrainConfig(seed=seed),
        )
        model = build_task_model(dataclasses.replace(job, **kwargs), task)
        random = np.random.default_rng(seed)
        for variable in model.trainable_variables:
            variable.assign(variable + random.normal(0, 0.3, variable.shape))
        adapter = model.get_adapter(
            task=task.to_dict(), preset=job.preset, seq_length=16
        )
        save_adapter(
            dataclasses.replace(adapter, seq_length=kwargs.get("seq_length", 16)),
            tmp_path / name,
        )
        return tmp_path / name

    return make


def check(found, directories):
    assert list(found) == list(directories)
    for name, directory in directories.items():
        alone = LoadedAdapter(directory).predictions(ROWS)
        assert len(found[name]) == len(alone) == len(TEXTS)
        for ours, theirs in zip(found[name], alone, strict=True):
            assert ours.get("label") == theirs.get("label")
            assert ours["score"] == pytest.approx(theirs["score"], rel=1e-5, abs=1e-6)


def test_equal_to_each_alone(make, monkeypatch):
    monkeypatch.setattr(predict_texts, "_WINDOW", 3)
    directories = {
        "mood": make("mood", MOOD),
        "other": make("other", MOOD, seed=1),
        "topic": make("topic", TOPIC, seed=2),
        "score": make("score", SCORE, "head", seed=3),
    }
    together = AdaptersTogether(directories)
    assert together.num_shared_blocks == 1
    # The first two differ in their tensors alone.
    assert len({id(m.model) for m in together._members.values()}) == 3
    found = together.predictions(ROWS)
    check(found, directories)
    assert found["mood"] != found["other"]


def test_the_lower_blocks_are_computed_once(make, monkeypatch):
    # What is thrown away behind a window needs no name that is a hash of the base.
    monkeypatch.setattr(prefix_states, "prefix_fingerprint", None)
    directories = {name: make(name, MOOD, seed=i) for i, name in enumerate("abc")}
    together = AdaptersTogether(directories)
    (compute,) = together._computers.values()
    batches = []
    run = compute._run
    compute._run = lambda x: batches.append(x) or run(x)
    together.predictions(ROWS)
    lengths = {len(text.split()) + 2 for text in TEXTS}
    assert lengths == {3, 5, 6, 7}
    assert len(batches) == 1  # all are padded to 8 tokens, and fit in one


def test_adapters_everywhere_share_nothing(make):
    directories = {
        "top": make("top", MOOD),
        "all": make("all", TOPIC, layers=None, seed=1),
    }
    together = AdaptersTogether(directories)
    assert together.num_shared_blocks == 0
    check(together.predictions(ROWS), directories)


def test_adapters_that_do_not_go_together(make, other_preset):
    mood = make("mood", MOOD)
    pair = Task("pair", "classification", ("text", "text2"), ("neg", "pos"))
    others = {
        "of one base": make("base", MOOD, preset=other_preset),
        "for inputs of one length": make("length", MOOD, seq_length=8),
        "for as many text columns": make("pair", pair),
    }
    for rule, other in others.items():
        message = f"must be {rule}. Received: 'mood' with .* and 'other' with"
        with pytest.raises(UserError, match=message):
            AdaptersTogether({"mood": mood, "other": other})
    questions = Task("q", "question_answering", ("question", "context"))
    with pytest.raises(UserError, match="must be for texts. Received: 'q', for quest"):
        AdaptersTogether({"mood": mood, "q": make("q", questions)})
