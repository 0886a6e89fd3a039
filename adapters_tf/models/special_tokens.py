"""The special tokens around the texts of a base's inputs."""

import functools
from typing import Any, NamedTuple

import keras_hub
from keras_hub.src.utils import preset_utils


class SpecialTokens(NamedTuple):
    """Ids of a row's special tokens and padding: `start text separators text end`.

    Attributes:
        start: Before the first text, such as `[CLS]`.
        separators: Between two texts: `[SEP]`, or RoBERTa's `</s></s>`.
        end: After the last text.
        pad: After the row.
    """

    start: int
    separators: tuple[int, ...]
    end: int
    pad: int

    def count(self, num_texts: int) -> int:
        """Return the number of special tokens in a row of `num_texts` texts."""
        return 2 + len(self.separators) * (num_texts - 1)


def special_tokens(tokenizer: Any) -> SpecialTokens:
    """Return the tokens that keras-hub's preprocessor puts around texts.

    Args:
        tokenizer: A keras-hub tokenizer of an encoder in `BACKBONES`.
    """
    preprocessor = _preprocessor_class(type(tokenizer).backbone_cls)(tokenizer)
    preprocessor.build(None)
    packer = preprocessor.packer
    (start,), (end,) = packer.start_value, packer.end_value
    return SpecialTokens(start, tuple(packer.sep_value), end, packer.pad_value)


@functools.cache
def _preprocessor_class(backbone: type) -> Any:
    return preset_utils.find_subclass(
        "", keras_hub.models.TextClassifierPreprocessor, backbone
    )
