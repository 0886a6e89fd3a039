"""Words to tokens, the loss at their first tokens, and sentences in and out."""

import numpy as np
import pytest

from adapters_tf.errors import DataError, UserError
from adapters_tf.models.word_tokens import word_features
from adapters_tf.tasks.build import build_model
from adapters_tf.tasks.token_classification import AdapterTokenClassifier

# In the vocabulary of conftest.py: "films" is film ##s, "plots" plot ##s.
SENTENCES = [["the", "films", "was", "\u200b", "plots"], ["good"]]


@pytest.fixture
def model(adapted, randomize, preprocessor):
    model = AdapterTokenClassifier(adapted(), 3, preprocessor, dropout=0.0)
    randomize(model.get_layer("logits"), scale=1.0, seed=4)
    return model


def test_first_tokens_have_the_labels(preprocessor):
    tags = [np.array([0, 1, 0, 2, 2]), np.array([1])]
    words = word_features(SENTENCES, preprocessor, tags)
    tokenizer = preprocessor.tokenizer
    ids = [tokenizer.id_to_token(int(i)) for i in words.features.token_ids]
    assert ids == [
        *"[CLS] the film ##s was plot ##s [SEP]".split(),
        *"[CLS] good [SEP]".split(),
    ]
    # A word that has no token is not read.
    assert [places.tolist() for places in words.firsts] == [[1, 2, 4, -1, 5], [1]]
    assert words.num_unread == 1
    # 12 tokens at most, rounded up to 16.
    labels = np.full((2, 16), -1)
    labels[0, [1, 2, 4, 5]] = [0, 1, 0, 2]
    labels[1, 1] = 1
    np.testing.assert_array_equal(words.features.labels, labels)
    np.testing.assert_array_equal(words.features.offsets, [0, 8, 11])


def test_white_space_within_a_word_is_that_of_the_tokenizer(preprocessor):
    tokenizer = preprocessor.tokenizer
    sentence = ["the\tfilms", "the\u00a0films", "\u3000good", "\v"]
    words = word_features([sentence], preprocessor)
    # Beyond ASCII keras-hub's tokenizer does not cut, and finds an unknown word.
    names = [tokenizer.id_to_token(int(i)) for i in words.features.token_ids]
    assert names == "[CLS] the film ##s [UNK] [UNK] [SEP]".split()
    assert words.firsts[0].tolist() == [1, 4, 5, -1]


def test_what_is_too_long_is_cut_and_counted(preprocessor):
    # 12 places: [CLS], 10 tokens, [SEP].
    words = word_features([["films"] * 5, ["films"] * 7], preprocessor)
    assert words.features.lengths.tolist() == [12, 12]
    assert words.firsts[0].tolist() == [1, 3, 5, 7, 9]
    assert words.firsts[1].tolist() == [1, 3, 5, 7, 9, -1, -1]
    assert (words.num_unread, words.features.num_truncated) == (2, 1)
    assert words.features.labels is None


def test_a_word_cut_in_the_middle_keeps_its_first_token(preprocessor):
    words = word_features([["the", *["films"] * 5]], preprocessor)
    assert words.firsts[0].tolist() == [1, 2, 4, 6, 8, 10]
    assert words.num_unread == 0


def test_loss_by_hand(model, inputs):
    x = inputs(3)
    y = np.full((3, 16), -1)
    y[0, [1, 3]], y[1, 2] = [2, 0], 1
    logits = model.predict(x, verbose=0).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    losses = [-np.log(p[0, 1, 2]) / 2 - np.log(p[0, 3, 0]) / 2, -np.log(p[1, 2, 1]), 0]
    np.testing.assert_allclose(model.example_losses(y, logits), losses, rtol=1e-5)
    result = model.evaluate(x, y, batch_size=2, verbose=0)
    assert result == pytest.approx(np.mean(losses), rel=1e-5)


def test_sentences_learn_and_predict(model):
    sentences = [["the", "films", "was", "good"], ["bad", "plots"]] * 8
    classes = [[0, 1, 0, 2], [2, 1]] * 8
    model.compile(seed=1)
    model.optimizer.learning_rate = 2e-2
    model.fit(sentences, classes, batch_size=8, epochs=40, verbose=0)
    found = model.predict([*sentences[:2], ["good", "\u200b"]], verbose=0)
    assert [row.tolist() for row in found[:2]] == [[0, 1, 0, 2], [2, 1]]
    assert found[2][1] == -1


def test_sentences_without_text_are_answered_but_not_learned(model):
    sentences = [[], ["good", "films"], [""]]
    found = model.predict(sentences, verbose=0)
    assert [len(classes) for classes in found] == [0, 2, 1]
    (alone,) = model.predict(sentences[1:2], verbose=0)
    assert found[1].tolist() == alone.tolist() and found[2].tolist() == [-1]
    assert [row.tolist() for row in model.predict([[]], verbose=0)] == [[]]
    for use in (model.fit, model.evaluate):
        with pytest.raises(DataError, match=r"one or more. Received: \[''\], .* 1$"):
            use(sentences[1:], [[0, 1], [0]], verbose=0)
    with pytest.raises(DataError, match="Received: None, the one at 0"):
        model.predict([None], verbose=0)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.array(["a text"]), [[0]], "datasets hold tensors. Received: ndarray"),
        ([], [], "Received: none"),
        (["a text"], [[0]], "list of words, one or more. Received: 'a text'"),
        ([[]], [[]], r"Received: \[\], the one at 0"),
        ([["good"]], None, "Received: none"),
        ([["good"]], [[0], [1]], "2 for 1 sentences"),
        ([["good"]], [[0, 1]], "2 for the 1 words of the one at 0"),
        ([["good"]], [[3]], r"from 0 to 2. Received: \[3\]"),
    ],
)
def test_bad_rows(model, x, y, message):
    with pytest.raises(DataError, match=message):
        model.fit(x, y, verbose=0)


def test_head(adapted):
    with pytest.raises(ValueError, match="num_classes=1"):
        AdapterTokenClassifier(adapted(), 1)
    model = AdapterTokenClassifier(adapted(), 5, dropout=0.2)
    assert model.head_config() == {"num_classes": 5, "dropout": 0.2}


def test_other_encoders(encoder_named):
    model = build_model(
        "token_classification",
        encoder_named("distil_bert").path,
        head={"num_classes": 3},
        seq_length=16,
    )
    sentences = [["the", "film", "was", "good"], ["bad", "plot"]]
    model.fit(sentences, [[0, 1, 0, 2], [2, 0]], batch_size=2, verbose=0)
    assert [len(tags) for tags in model.predict(sentences, verbose=0)] == [4, 2]
    with pytest.raises(UserError, match="Token classification needs a base"):
        build_model(
            "token_classification",
            encoder_named("roberta").path,
            head={"num_classes": 3},
            seq_length=16,
        )
