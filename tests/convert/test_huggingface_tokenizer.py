"""What a Hugging Face directory says of its tokenizer, in three places."""

import json

import numpy as np
import pytest

from adapters_tf.convert import convert_huggingface
from adapters_tf.convert.directories import infer_lowercase
from adapters_tf.convert.huggingface import read_tokenizer
from adapters_tf.errors import UserError
from adapters_tf.models.presets import load_preprocessor

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
UNCASED = [*SPECIAL, "the", "film", "ℝ", "##ℝ"]
CASED = [*SPECIAL, "the", "The"]


def words(n):
    """Tokens of small letters, all different."""
    return [f"w{'ab' * i}" for i in range(n)]


@pytest.mark.parametrize(
    ("vocabulary", "lowercase"),
    [
        # bert-base-uncased has a capital that has no small form.
        (UNCASED, True),
        (CASED, False),
        # Special tokens and scripts of one case say nothing.
        ([*SPECIAL, "[Unused]", "中", "##1", "한"], True),
        ([*SPECIAL, "中", "##1", "A"], False),
        # A few odd ones among many.
        ([*words(398), "İ", "##A"], True),
        ([*words(396), *"ABCD"], False),
    ],
)
def test_case_of_a_vocabulary(vocabulary, lowercase):
    lines = []
    assert infer_lowercase(vocabulary, lines.append) == lowercase
    assert lines == [
        "Texts are lower-cased, as the vocabulary is."
        if lowercase
        else "Texts keep their case: the vocabulary has capital letters."
    ]


@pytest.fixture
def tokenizer(tmp_path):
    """Function: read the tokenizer of these files; returns it and what was said."""

    def read(vocabulary=UNCASED, config=None, normalizer=None, lowercase=None):
        (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
        if config is not None:
            (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        if normalizer is not None:
            text = json.dumps({"normalizer": normalizer})
            (tmp_path / "tokenizer.json").write_text(text)
        lines = []
        return read_tokenizer(tmp_path, lowercase, lines.append), lines

    return read


def bert(**settings):
    return {"type": "BertNormalizer", **settings}


@pytest.mark.parametrize(
    ("files", "lowercase", "said"),
    [
        ({"config": {"do_lower_case": False}}, False, []),
        ({"config": {"do_lower_case": True}, "vocabulary": CASED}, True, []),
        (
            {"normalizer": bert(lowercase=False)},
            False,
            ["Texts keep their case, as the normalizer of tokenizer.json says."],
        ),
        (
            {
                "vocabulary": CASED,
                "config": {"do_lower_case": None},
                "normalizer": {
                    "type": "Sequence",
                    "normalizers": [bert(lowercase=True)],
                },
            },
            True,
            ["Texts are lower-cased, as the normalizer of tokenizer.json says."],
        ),
        (
            {"config": {"do_lower_case": False}, "normalizer": bert(lowercase=True)},
            False,
            [
                "do_lower_case=False, as tokenizer_config.json says; tokenizer.json "
                "says True."
            ],
        ),
        ({"config": {}}, True, ["Texts are lower-cased, as the vocabulary is."]),
        (
            {"vocabulary": CASED, "normalizer": bert()},
            False,
            ["Texts keep their case: the vocabulary has capital letters."],
        ),
        ({"lowercase": False, "config": {"do_lower_case": True}}, False, []),
        ({"lowercase": True, "vocabulary": CASED}, True, []),
    ],
)
def test_lower_casing(files, lowercase, said, tokenizer):
    read, lines = tokenizer(**files)
    assert (read.lowercase, lines) == (lowercase, said)


@pytest.mark.parametrize(
    ("config", "normalizer", "strip", "said"),
    [
        ({}, None, None, []),
        ({"strip_accents": None}, bert(strip_accents=False), False, []),
        ({"strip_accents": True}, bert(strip_accents=True), True, []),
        (
            {"strip_accents": True},
            bert(strip_accents=False),
            True,
            [
                "strip_accents=True, as tokenizer_config.json says; tokenizer.json "
                "says False."
            ],
        ),
    ],
)
def test_accents(config, normalizer, strip, said, tokenizer):
    read, lines = tokenizer(UNCASED, {"do_lower_case": True, **config}, normalizer)
    assert (read.strip_accents, lines) == (strip, said)


@pytest.mark.parametrize(
    ("config", "normalizer", "message"),
    [
        (
            {"tokenize_chinese_chars": False},
            None,
            "a word of each Chinese character, .*tokenize_chinese_chars=False",
        ),
        ({}, bert(handle_chinese_chars=False), "tokenize_chinese_chars=False"),
        ({"do_lower_case": "yes"}, None, "true or false. Received: 'yes' in .*_config"),
        ({}, bert(lowercase=1), "true or false. Received: 1 in .*tokenizer.json"),
        ({"strip_accents": [1]}, None, r"strip_accents must be true.*Received: \[1\]"),
    ],
)
def test_settings_that_are_refused(config, normalizer, message, tokenizer):
    with pytest.raises(UserError, match=message):
        tokenizer(UNCASED, config, normalizer)


def test_the_preset_follows_the_normalizer(edited, fixtures, tmp_path):
    source = edited("base", "tokenizer_config.json", lambda c: c.clear())
    for folder, settings, tokens in (
        ("cased", {"lowercase": False}, ["[UNK]", "good"]),
        ("accents", {"lowercase": True, "strip_accents": False}, ["good", "[UNK]"]),
    ):
        text = json.dumps({"normalizer": bert(**settings)})
        (source / "tokenizer.json").write_text(text)
        convert_huggingface(source, tmp_path / folder)
        preprocessor = load_preprocessor(str(tmp_path / folder), 8)
        text = "Good good" if folder == "cased" else "Good góod"
        ids = np.asarray(preprocessor(np.array([text]))["token_ids"])[0]
        vocabulary = (fixtures / "base" / "vocab.txt").read_text().split("\n")
        assert [vocabulary[i] for i in ids[1:3]] == tokens


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"version": "1.0"}, "whose model has none"),
        ({"model": {"type": "WordPiece"}}, "whose model has none"),
        ({"model": {"type": "WordPiece", "vocab": {"a": 1}}}, "must be 0, 1, 2"),
        (
            {"model": {"type": "WordPiece", "vocab": {"a": 0, "b": "x"}}},
            "numbers must be 0, 1, 2",
        ),
    ],
)
def test_vocabularies_of_tokenizer_json_that_are_refused(file, message, tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(UserError, match=message):
        read_tokenizer(tmp_path, None, print)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"model": None}, "model must be WordPiece, .* Received: null in "),
        ({"model": "x"}, 'model must be WordPiece, .* Received: "x" in '),
        ({"model": {"type": "BPE"}}, 'model must be WordPiece, .* Received: "BPE" in '),
        ({"normalizer": None}, "normalizer must be BertNormalizer, .*: null in "),
        ({"normalizer": {"type": "Lowercase"}}, 'BertNormalizer, .*: "Lowercase" in '),
        (
            {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFD"}]}},
            'BertNormalizer, .*: "NFD" in ',
        ),
        (
            {"normalizer": bert(), "pre_tokenizer": {"type": "ByteLevel"}},
            'pre_tokenizer must be BertPreTokenizer, .*: "ByteLevel" in ',
        ),
    ],
)
def test_other_tokenizers_are_refused(file, message, tokenizer, tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(UserError, match=message + ".*vocab.txt is enough"):
        tokenizer(UNCASED)
    (tmp_path / "tokenizer.json").unlink()
    assert tokenizer(UNCASED)[0].lowercase


def test_a_vocabulary_without_mask_is_refused(edited, tmp_path):
    source = edited("base", "tokenizer_config.json", dict)
    text = (source / "vocab.txt").read_text()
    (source / "vocab.txt").write_text(text.replace("[MASK]", "[other]"))
    with pytest.raises(UserError, match=r"with \[CLS\], .* tokens without \[MASK\]"):
        convert_huggingface(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
