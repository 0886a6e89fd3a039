"""Every default that changes results, as docs/training.md states it."""

import inspect
import re

import pytest
from pages import ROOT

from adapters_tf.adapters import AdapterConfig
from adapters_tf.adapters.bottleneck import BottleneckAdapter
from adapters_tf.bin import train
from adapters_tf.models import question_windows
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.optimizer import LinearWarmupDecay
from adapters_tf.models.text_model import TextModel
from adapters_tf.models.trainable_set import METHODS, Tuning
from adapters_tf.study.grid import Block, Setting
from adapters_tf.tasks.build import build_model
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.file_task import load_file_task
from adapters_tf.tasks.multi_label import AdapterMultiLabelClassifier
from adapters_tf.tasks.regression import AdapterTextRegressor
from adapters_tf.tasks.token_classification import AdapterTokenClassifier
from adapters_tf.training.config import TrainConfig, TrainJob, default_epochs

HEADS = (
    AdapterTextClassifier,
    AdapterMultiLabelClassifier,
    AdapterTextRegressor,
    AdapterTokenClassifier,
)


def page():
    """The table: the cell of each setting's default."""
    text = (ROOT / "docs" / "training.md").read_text("utf-8")
    table = text.partition("\n## Defaults\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|", table, re.MULTILINE)
    return {name.replace("`", ""): value for name, value in rows[1:]}


def shown(value):
    """A value as the page writes it."""
    if isinstance(value, tuple | list):
        return ", ".join(shown(part) for part in value)
    return f"{value:g}" if isinstance(value, float | int) else str(value)


def argument(function, name):
    return inspect.signature(function).parameters[name].default


@pytest.fixture(scope="module")
def job():
    """The run of `adapters-tf-train` without flags about the training."""
    flags = train.define().flags
    flags(["adapters-tf-train"])
    return train.job_from_flags(flags)


def flag(name):
    return train.define().flags[name].default


def of_code(job):
    """The default of each setting at every place where the code has it."""
    config, adapter = TrainConfig(), AdapterConfig()
    blocks = {m: dict(Block.from_dict({"method": m}).values) for m in METHODS[:-1]}
    epochs = [default_epochs(rows, 1) for rows in (320, 107, 16, 10**6)]
    assert epochs == [3, 3, 20, 3] and default_epochs(40, 1) == 8
    assert {tuple(block["epochs"]) for block in blocks.values()} == {(3,)}
    assert job == TrainJob(head={"head_input": "cls"})
    found = {
        "preset": [TrainJob().preset],
        "tuning": [
            Tuning().method,
            flag("tuning"),
            *(argument(h, "tuning") for h in HEADS),
        ],
        "bottleneck_dim": [
            adapter.bottleneck_dim,
            flag("bottleneck_dim"),
            *blocks["adapters"]["bottleneck_dim"],
        ],
        "adapter_sublayers": [adapter.sublayers, flag("adapter_sublayers")],
        "adapter_layers": [adapter.layers or "all", flag("adapter_layers") or "all"],
        "initializer_stddev": [
            adapter.initializer_stddev,
            flag("initializer_stddev"),
            argument(BottleneckAdapter, "initializer_stddev"),
        ],
        "activation of adapters": [
            adapter.activation,
            argument(BottleneckAdapter, "activation"),
        ],
        "dropout of adapters": [
            adapter.dropout,
            argument(BottleneckAdapter, "dropout"),
        ],
        "head_input": [
            flag("head_input"),
            *(argument(head, "head_input") for head in (TextModel, *HEADS[:3])),
        ],
        "dropout of heads": [argument(head, "dropout") for head in (TextModel, *HEADS)],
        "seq_length": [
            job.seq_length,
            TrainJob().seq_length,
            argument(build_model, "seq_length"),
        ],
        "precision": [job.precision, TrainJob().precision],
        "epochs": [f"{config.epochs}, or up to 20 until there are 320 steps"],
        "batch_size": [
            config.batch_size,
            flag("batch_size"),
            Setting.batch_size,
        ],
        "warmup_proportion": [config.warmup_proportion, flag("warmup_proportion")],
        "weight_decay": [config.weight_decay, flag("weight_decay")],
        "clipping of gradients": [
            config.clip_norm,
            argument(AdapterModel.compile, "clip_norm"),
        ],
        "seed": [config.seed, flag("seed"), argument(AdapterModel.compile, "seed")],
        "dev_fraction": [
            flag("dev_fraction"),
            argument(load_file_task, "dev_fraction"),
        ],
        "tokens between windows of a context": [question_windows.DOC_STRIDE],
        "longest answer, in tokens": [question_windows.MAX_ANSWER_TOKENS],
    }
    for method in METHODS:
        flags = train.define().flags
        top = ["--top_n=1"] * (method == "top_n")
        flags(["adapters-tf-train", f"--tuning={method}", *top])
        rates = [train.job_from_flags(flags).config.learning_rate]
        rates += blocks.get(method, {}).get("learning_rate", ())
        found[f"learning_rate, {method}"] = rates
    return found


def of_models(preset):
    """Those that only a model shows."""
    kinds = {
        "classification": {"num_classes": 2, "hidden_layer": True},
        "regression": {},
        "token_classification": {"num_classes": 3},
        "question_answering": {},
    }
    scales, constants = [], []
    for kind, head in kinds.items():
        model = build_model(kind, preset, AdapterConfig(2), head=head, seq_length=16)
        for layer in model.layers:
            if layer.name in ("logits", "head_hidden"):
                scales.append(layer.kernel_initializer.stddev)
        model.compile()
        optimizer = model.optimizer
        constants.append((optimizer.beta_1, optimizer.beta_2, optimizer.epsilon))
        assert float(optimizer.learning_rate) == pytest.approx(1e-3)
        assert (optimizer.weight_decay, model.clip_norm) == (0.01, 1.0)
    return {
        "initial scale of heads": scales,
        "beta_1, beta_2, epsilon of AdamW": constants,
    }


def test_defaults(job, tiny_preset):
    stated = page()
    found = of_code(job) | of_models(tiny_preset)
    assert found.keys() == stated.keys()
    for name, values in found.items():
        assert {shown(value) for value in values} == {stated[name]}, name


def test_the_rate_rises_and_falls_linearly_to_0():
    config = TrainConfig()
    rate = LinearWarmupDecay(1.0, 100, round(100 * config.warmup_proportion))
    expected = [0.1, 0.5, 1.0, 1.0, 0.5, 1 / 90]
    found = [float(rate(step)) for step in (0, 4, 9, 10, 55, 99)]
    assert found == pytest.approx(expected)
