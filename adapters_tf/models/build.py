"""Building the model of a task, new or from an adapter directory."""

import os
from typing import Any

from adapters_tf.layers.adapter_config import AdapterConfig
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.presets import load_backbone, load_preprocessor
from adapters_tf.models.question_answerer import AdapterQuestionAnswerer
from adapters_tf.models.text_classifier import AdapterTextClassifier
from adapters_tf.models.text_regressor import AdapterTextRegressor
from adapters_tf.models.trainable_set import Tuning

_MODELS: dict[str, type[AdapterModel]] = {
    model.kind: model
    for model in (AdapterTextClassifier, AdapterTextRegressor, AdapterQuestionAnswerer)
}


def build_model(
    kind: str,
    preset: str,
    adapter: AdapterConfig | None = None,
    tuning: Tuning | str = "adapters",
    seq_length: int = 128,
    head: dict[str, Any] | None = None,
    **kwargs: Any,
) -> AdapterModel:
    """A model on a pretrained base, ready to train.

    Args:
        kind: `"classification"`, `"regression"` or `"question_answering"`.
        preset: See `load_backbone`.
        adapter: The adapters; the paper's by default where `tuning` is
            `"adapters"`, and none elsewhere.
        tuning: What is trained.
        seq_length: Longest input in tokens.
        head: Arguments of the head: `num_classes`, `head_input`, `dropout`.
        **kwargs: As `load_backbone`: `dtype`.
    """
    tuning = Tuning.of(tuning)
    if adapter is None and tuning.method == "adapters":
        adapter = AdapterConfig()
    backbone = load_backbone(preset, adapter, **kwargs)
    preprocessor = load_preprocessor(preset, seq_length)
    return _MODELS[kind](
        backbone, preprocessor=preprocessor, tuning=tuning, **(head or {})
    )


def load_model(
    directory: str | os.PathLike[str], preset: str | None = None, **kwargs: Any
) -> AdapterModel:
    """The model that an adapter directory belongs to, with its weights.

    Args:
        directory: An adapter directory.
        preset: Where to load the base from; by default from where it was
            loaded in training.
        **kwargs: As `load_backbone`: `dtype`.

    Raises:
        AdapterFileError: if the directory is not usable, or the base is not
            the one that it was trained on.
    """
    adapter = load_adapter(directory)
    model = build_model(
        adapter.kind,
        preset or adapter.preset,
        adapter.adapter,
        adapter.tuning,
        adapter.seq_length,
        adapter.head,
        **kwargs,
    )
    model.set_adapter(adapter)
    return model
