"""Tiny random presets of every encoder but BERT, with vocabularies made on the spot."""

import dataclasses
import io

import keras_hub
import numpy as np
import sentencepiece
from keras_hub import models
from keras_hub.src.tokenizers.byte_pair_tokenizer import bytes_to_unicode

NAMES = ("roberta", "xlm_roberta", "distil_bert", "electra", "albert")
TEXTS = [
    "the film was good in 2021 and it was very long",
    "bad! film it's a bad, sad plot",
    "a café",
    "the plot",
]
PAIRS = [*TEXTS[1:], TEXTS[0]]
D, BLOCK_CALLS = 16, 2
SIZES = {
    "num_layers": BLOCK_CALLS,
    "num_heads": 2,
    "hidden_dim": D,
    "intermediate_dim": 32,
    "max_sequence_length": 32,
}
_WORDS = "the film was good bad sad plot a it s ' , ! very long 2021".split()
_WORD_PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS]
# "d !" joins what GPT-2's pattern keeps apart.
_MERGES = ["d !", "Ġ t", "h e", "Ġt he", "Ġ b", "a d", "Ġb ad"]
# See `presets._KEPT`: no tokenizer of these models may be deleted before the last.
_KEPT = []


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A preset on disk.

    Attributes:
        name: One of `NAMES`.
        path: Its directory.
        plain: keras-hub's backbone with the same weights; not to be changed.
        tokenizer: keras-hub's tokenizer.
    """

    name: str
    path: str
    plain: keras_hub.models.Backbone
    tokenizer: keras_hub.tokenizers.Tokenizer

    @property
    def has_segments(self):
        return "segment_ids" in self.plain.input

    @property
    def num_blocks(self):
        return 1 if self.name == "albert" else BLOCK_CALLS

    def inputs(self, n=4, length=9, seed=0):
        """Rows of random tokens, of random lengths, as inputs of `plain`."""
        random = np.random.default_rng(seed)
        mask = np.arange(length) < random.integers(3, length + 1, (n, 1))
        size = self.plain.token_embedding.input_dim
        values = {
            "token_ids": random.integers(0, size, (n, length)) * mask,
            "segment_ids": random.integers(0, 2, (n, length)) * mask,
            "padding_mask": mask,
        }
        return {k: values[k].astype("int32") for k in self.plain.input}


def sentence_piece(**options):
    """A trained SentencePiece model, as bytes."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 4),
        model_writer=model,
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def _tokenizer(name):
    if name == "roberta":
        tokens = ["<s>", "<pad>", "</s>", "<unk>", *bytes_to_unicode()[1]]
        tokens += [merge.replace(" ", "") for merge in _MERGES] + ["<mask>"]
        vocabulary = {token: i for i, token in enumerate(tokens)}
        return models.RobertaTokenizer(vocabulary, _MERGES)
    if name == "xlm_roberta":
        return models.XLMRobertaTokenizer(sentence_piece(unk_id=0, bos_id=1, eos_id=2))
    if name == "albert":
        proto = sentence_piece(
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            pad_piece="<pad>",
            bos_piece="[CLS]",
            eos_piece="[SEP]",
            user_defined_symbols="[MASK]",
        )
        return models.AlbertTokenizer(proto)
    if name == "electra":
        return keras_hub.tokenizers.ElectraTokenizer(_WORD_PIECES, lowercase=True)
    return models.DistilBertTokenizer(_WORD_PIECES, lowercase=True)


_CLASSES = {
    "roberta": models.RobertaBackbone,
    "xlm_roberta": models.XLMRobertaBackbone,
    "distil_bert": models.DistilBertBackbone,
    "electra": models.ElectraBackbone,
    "albert": models.AlbertBackbone,
}


def make_encoder(name, path, **options):
    """Save a random encoder of two layers in keras-hub's own format.

    Args:
        name: One of `NAMES`.
        path: A directory.
        **options: Other arguments of the backbone.
    """
    tokenizer = _tokenizer(name)
    _KEPT.append(tokenizer)
    size = "vocab_size" if name == "electra" else "vocabulary_size"
    options = {**SIZES, size: tokenizer.vocabulary_size(), **options}
    if name in ("electra", "albert"):
        options["embedding_dim"] = 8
    plain = _CLASSES[name](**options)
    random = np.random.default_rng(NAMES.index(name))
    for variable in plain.weights:
        shift = variable.path.endswith("gamma")
        variable.assign(random.normal(0, 0.3, variable.shape) + shift)
    plain.save_to_preset(str(path))
    tokenizer.save_to_preset(str(path))
    return Encoder(name, str(path), plain, tokenizer)
