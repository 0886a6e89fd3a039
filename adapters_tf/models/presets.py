"""Loading a base and its preprocessor with keras-hub's own loaders."""

import json
import os
from typing import Any

import keras
import keras_hub
from keras_hub.src.utils import preset_utils

from adapters_tf.errors import UserError
from adapters_tf.layers.adapter_config import AdapterConfig
from adapters_tf.models.adapter_backbone import AdapterBackbone, BertAdapterBackbone

# Plain keras-hub class -> the class with adapters.
BACKBONES: dict[type, type[AdapterBackbone]] = {
    keras_hub.models.BertBackbone: BertAdapterBackbone,
}


def load_backbone(
    preset: str,
    adapter: AdapterConfig | None = None,
    *,
    default_adapter: AdapterConfig | None = None,
    **kwargs: Any,
) -> AdapterBackbone:
    """A pretrained backbone with freshly initialised adapters.

    A preset that was saved from an adapted backbone brings its own adapters.

    Args:
        preset: A keras-hub preset name, a handle (`hf://`, `kaggle://`), a
            Hugging Face directory, or a directory saved by `save_to_preset`.
        adapter: The adapters' configuration; `None` for those of the preset.
        default_adapter: Where `adapter` is `None` and the preset has none either.
        **kwargs: As `from_preset` of the backbone: `dtype`, `load_weights`.

    Raises:
        UserError: if the preset cannot be loaded, or is of an architecture
            that has no adapter backbone here, or has adapters of its own and
            `adapter` is another configuration.
    """
    loaded = _load(keras_hub.models.Backbone, preset, **kwargs)
    adapted = isinstance(loaded, AdapterBackbone)
    cls = type(loaded) if adapted else BACKBONES.get(type(loaded))
    if cls is None:
        known = ", ".join(sorted(c.__name__ for c in BACKBONES))
        raise UserError(
            f"The preset must be one of these architectures: {known}. "
            f"Received: {preset!r}, a {type(loaded).__name__}"
        )
    return cls.from_loaded(loaded, preset, adapter, default_adapter)


def load_preprocessor(
    preset: str, sequence_length: int = 128
) -> keras_hub.models.TextClassifierPreprocessor:
    """keras-hub's preprocessor of the preset, for one text or a pair.

    An uncased vocabulary has no accented letters. keras-hub keeps accents
    unless told otherwise, which turns every accented word into `[UNK]`; so
    where the tokenizer lower-cases, accents are stripped, as BERT does, unless
    the checkpoint's own `tokenizer_config.json` says `"strip_accents": false`.

    Args:
        preset: As in `load_backbone`.
        sequence_length: Longest packed input, in tokens; longer texts are cut.
    """
    tokenizer = _load(keras_hub.models.Tokenizer, preset)
    config = tokenizer.get_config()
    if config.get("lowercase") and config.get("strip_accents") is False:
        if _own_strip_accents(preset) is not False:
            tokenizer = _load(keras_hub.models.Tokenizer, preset, strip_accents=True)
    return _load(
        keras_hub.models.TextClassifierPreprocessor,
        preset,
        tokenizer=tokenizer,
        sequence_length=sequence_length,
    )


def preprocess_texts(preprocessor: Any, texts: Any) -> dict[str, Any]:
    """Tokenise and pack unlabelled texts, or pairs of texts.

    keras-hub reads a lone tuple as `(x, y)`, so a pair of texts without labels
    would lose its second text; a label that is thrown away prevents that.

    Args:
        preprocessor: From `load_preprocessor`.
        texts: A `[batch]` string tensor, or a tuple of two.

    Returns:
        `token_ids`, `segment_ids`, `padding_mask`.
    """
    if isinstance(texts, tuple):
        return preprocessor(texts, y=keras.ops.zeros(()))[0]
    return preprocessor(texts)


def _own_strip_accents(preset: str) -> bool | None:
    path = os.path.join(preset, "tokenizer_config.json")
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as f:
        return json.load(f).get("strip_accents")


def _load(cls: Any, preset: str, **kwargs: Any) -> Any:
    if os.path.isdir(preset) and not os.path.isfile(
        os.path.join(preset, "config.json")
    ):
        raise UserError(
            "A preset directory must hold a config.json (Hugging Face or keras-hub "
            f"format). Received: {preset!r}, which holds "
            f"{sorted(os.listdir(preset))[:10]}"
        )
    try:
        return _from_preset(cls, preset, kwargs)
    except Exception as error:
        # keras-hub raises many types here: a missing file, an unreachable
        # host, a truncated tensor file, an unknown architecture.
        raise UserError(
            f"The preset {preset!r} could not be loaded: {error}\n"
            "A preset is a keras-hub preset name (such as bert_base_en_uncased), a "
            "handle (hf://user/model, kaggle://...), or a directory in Hugging Face "
            "or keras-hub format."
        ) from error


def _from_preset(cls: Any, preset: str, kwargs: dict[str, Any]) -> Any:
    """`cls.from_preset`, also of a preset saved from an adapted backbone.

    keras-hub takes the tokenizer and the preprocessor that name the preset's
    backbone class as theirs. They name plain classes only.
    """
    loader = preset_utils.get_preset_loader(preset)
    backbone = loader.check_backbone_class()
    if cls is keras_hub.models.Backbone or not issubclass(backbone, AdapterBackbone):
        return cls.from_preset(preset, **kwargs)
    cls = preset_utils.find_subclass(preset, cls, backbone.plain_class())
    if issubclass(cls, keras_hub.models.Tokenizer):
        return loader.load_tokenizer(cls, **kwargs)
    return loader.load_preprocessor(cls, **kwargs)
