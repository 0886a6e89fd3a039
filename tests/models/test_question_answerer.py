"""`fit`, `evaluate` and `predict` of question answering, on texts."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.errors import DataError, UserError
from adapters_tf.models.question_windows import Answer, question_windows
from adapters_tf.tasks.question_answering import AdapterQuestionAnswerer

QUESTIONS = ["was it good", "the plot", "film", "poor"]
CONTEXTS = [
    "The film was fine.",
    "A  plot so bad on it",
    # 13 and 19 tokens; a window has room for 8.
    "the film was a plot so very good in it at on cafe",
    "Bad! the film was so very fine it was in a cafe er at on the plot poor",
]
TEXTS = (QUESTIONS, CONTEXTS)
ANSWERS = [("fine", 13), ("so bad", 8), ("cafe", 45), ("a cafe", 41)]
WINDOWS_OF_ROWS = [0, 1, 2, 2, 2, 3, 3, 3, 3]


@pytest.fixture
def answerer(adapted, preprocessor):
    def make(tuning="adapters", **compile_arguments):
        keras.utils.set_random_seed(1)
        backbone = adapted() if tuning == "adapters" else adapted(None)
        model = AdapterQuestionAnswerer(
            backbone, preprocessor=preprocessor, tuning=tuning
        )
        model.compile(**{"run_eagerly": True, **compile_arguments})
        return model

    return make


@pytest.fixture
def windows(preprocessor):
    """The windows, and the tensors to give in place of the texts."""
    made = question_windows(*TEXTS, preprocessor, ANSWERS)
    return made, made.features.batch(np.arange(len(made.features)), multiple=1)


def weights(model):
    return {v.path: v.numpy() for v in model.weights}


def check_equal(a, b):
    assert a.keys() == b.keys()
    for path, value in a.items():
        np.testing.assert_array_equal(b[path], value, err_msg=path)


def naive_answer(model, preprocessor, question, context):
    """Every span of every window, one by one."""
    words = list(re.finditer(r"\w+|[^\w\s]", context))
    tokens = [(m, i) for m in words for i in preprocessor.tokenizer(m.group().lower())]
    asked = [int(i) for i in preprocessor.tokenizer(question)]
    room = 12 - 3 - len(asked)
    best = ("", 0, -np.inf)
    begin = 0
    while True:
        part = tokens[begin : begin + room]
        ids = [2, *asked, 3, *(int(i) for _, i in part), 3]
        segments = [0] * (len(asked) + 2) + [1] * (len(part) + 1)
        x = {"token_ids": ids, "segment_ids": segments, "padding_mask": [1] * len(ids)}
        x = {name: np.array([value]) for name, value in x.items()}
        logits = model(x).numpy()[0, len(asked) + 2 :]
        for i in range(len(part)):
            for j in range(i, len(part)):
                score = logits[i, 0] + logits[j, 1]
                if score > best[2]:
                    start, end = part[i][0].start(), part[j][0].end()
                    best = (context[start:end], start, score)
        if begin + room >= len(tokens):
            return best
        begin += room // 2


def test_texts_and_windows_give_equal_steps(answerer, windows):
    made, tensors = windows
    given = {"batch_size": 3, "epochs": 2, "verbose": 0}
    on_texts, on_windows = answerer(), answerer()
    before = weights(on_texts)
    check_equal(before, weights(on_windows))
    history = on_texts.fit(TEXTS, ANSWERS, **given).history
    assert on_windows.fit(tensors, made.features.labels, **given).history == history
    check_equal(weights(on_texts), weights(on_windows))
    trained = {v.path for v in on_texts.trainable_variables}
    for path, value in weights(on_texts).items():
        assert (value != before[path]).any() == (path in trained), path
    loss = on_texts.evaluate(TEXTS, ANSWERS, verbose=0)
    assert loss == on_texts.evaluate(tensors, made.features.labels, verbose=0) > 0


def test_dataset_of_windows(answerer, windows):
    made, tensors = windows
    rows = (tensors, made.features.labels)
    data = tf.data.Dataset.from_tensor_slices(rows).batch(4)
    on_data, on_texts = answerer(), answerer()
    on_data.fit(data, validation_data=data, verbose=0)
    on_texts.fit(TEXTS, ANSWERS, batch_size=4, shuffle=False, verbose=0)
    check_equal(weights(on_data), weights(on_texts))
    assert on_data.predict(data, verbose=0).shape == (len(made.rows), 12, 2)


def test_predicted_answers(answerer, windows, preprocessor, randomize):
    made, tensors = windows
    model = answerer()
    randomize(model.get_layer("logits"), scale=1.0, seed=4)
    answers = model.predict(TEXTS, batch_size=3, verbose=0)
    assert all(type(answer) is Answer for answer in answers)
    assert answers == made.answers(
        model.predict(tensors, batch_size=3, verbose=0), CONTEXTS
    )
    for answer, question, context in zip(answers, *TEXTS, strict=True):
        assert context[answer.start :].startswith(answer.text) and answer.text
        text, start, score = naive_answer(model, preprocessor, question, context)
        assert (answer.text, answer.start) == (text, start)
        assert answer.score == pytest.approx(score, rel=1e-4)


def test_long_contexts_have_several_windows(answerer, windows):
    made, tensors = windows
    assert made.rows.tolist() == WINDOWS_OF_ROWS
    # Windows without the answer point at [CLS]; all of an answer's tokens do not.
    held = {row: 0 for row in range(4)}
    for row, label in zip(made.rows, made.features.labels, strict=True):
        held[row] += bool(label.any())
    assert all(0 < n for n in held.values()) and held[2] < 3
    model = answerer()
    losses = model.example_losses(made.features.labels, model(tensors)).numpy()
    loss = model.evaluate(TEXTS, ANSWERS, batch_size=4, verbose=0)
    assert loss == pytest.approx(losses.mean(), rel=1e-5)
    # Each window counts as its question does.
    each = np.array([1.0, 0.0, 3.0, 2.0])
    loss = model.evaluate(TEXTS, ANSWERS, sample_weight=each, verbose=0)
    assert loss == pytest.approx(np.average(losses, weights=each[made.rows]), rel=1e-5)


def test_learns_answers_in_later_windows(answerer):
    model = answerer("full", optimizer=keras.optimizers.Adam(1e-2), run_eagerly=False)
    model.fit(TEXTS, ANSWERS, epochs=150, verbose=0)
    found = model.predict(TEXTS, verbose=0)
    assert [(answer.text, answer.start) for answer in found] == ANSWERS


@pytest.mark.parametrize("column", [np.array, tf.constant, tuple])
def test_other_columns_of_texts(answerer, column):
    model = answerer()
    x = tuple(column(texts) for texts in TEXTS)
    assert model.predict(x, verbose=0) == model.predict(TEXTS, verbose=0)
    loss = model.evaluate(x, tuple(ANSWERS), verbose=0)
    assert loss == model.evaluate(TEXTS, ANSWERS, verbose=0)


def test_validation_data_and_split(answerer, capsys):
    rest = tuple(texts[2:] for texts in TEXTS)
    given, split = answerer(), answerer()
    history = given.fit(
        tuple(texts[:2] for texts in TEXTS),
        ANSWERS[:2],
        validation_data=(rest, ANSWERS[2:]),
        verbose=2,
    ).history
    assert "val_loss" in capsys.readouterr().out  # Keras's own line
    assert split.fit(TEXTS, ANSWERS, validation_split=0.5, verbose=0).history == history
    check_equal(weights(given), weights(split))
    loss = given.evaluate(rest, ANSWERS[2:], verbose=0)
    assert history["val_loss"] == [pytest.approx(loss, rel=1e-6)]


def test_single_batches_of_texts(answerer, windows):
    _, tensors = windows
    model = answerer()
    loss = model.test_on_batch(TEXTS, ANSWERS)
    assert float(loss) == pytest.approx(model.evaluate(TEXTS, ANSWERS, verbose=0))
    np.testing.assert_array_equal(
        model.predict_on_batch(TEXTS), model.predict_on_batch(tensors)
    )


def test_answer_in_no_window_is_reported(answerer, caplog):
    whole = CONTEXTS[3]
    answerer().evaluate((["poor"], [whole]), [(whole, 0)], verbose=0)
    assert "1 of 1 answers stand in no window of 12 tokens whole" in caplog.text


@pytest.mark.parametrize(
    "x, y, message",
    [
        (QUESTIONS, ANSWERS, r"a tuple \(questions, contexts\).* a list of 4: str"),
        ((*TEXTS, TEXTS[0]), ANSWERS, r"Received: a tuple of 3: list, list, list"),
        (("film", "the film"), [("film", 4)], "Received: a tuple of 2: str, str"),
        ((QUESTIONS[:3], CONTEXTS), ANSWERS, "Received: 3 questions and 4 contexts"),
        (([], []), [], "Received: 0 questions and 0 contexts"),
        (TEXTS, ANSWERS[:3], "Received: 3 answers to 4 questions"),
        (TEXTS, None, "fit and evaluate need the answers"),
        ((["a", " ", "a", "a"], CONTEXTS), ANSWERS, "No question .* row 1 with an em"),
        ((QUESTIONS, ["a", "b", "", "c"]), ANSWERS, "No context .* row 2 with an em"),
        ((QUESTIONS, ["a", "b", None, "c"]), ANSWERS, "Every context .* row 2 .*None"),
        ((["\ud800"], ["a"]), [("a", 0)], "question must be valid Unicode.* row 0"),
        (TEXTS, [*ANSWERS[:3], ("", 3)], "No answer may be empty. Received: row 3"),
        (TEXTS, ["fine", *ANSWERS[1:]], "must be a pair .* row 0, 'fine'"),
        (TEXTS, [("fine", "13"), *ANSWERS[1:]], "must be a pair .*'fine', '13'"),
        (
            TEXTS,
            [("fine", 12), *ANSWERS[1:3], ("cafe", 400)],
            r"row 0, answer 'fine' at 12, where there is ' fin' \(2 answers",
        ),
        (TEXTS, [("Fine", 13), *ANSWERS[1:]], "answer 'Fine' at 13, .* is 'fine'"),
        (TEXTS, [(".", -1), *ANSWERS[1:]], "answer '.' at -1"),
    ],
)
def test_bad_rows_are_named(answerer, x, y, message):
    model = answerer()
    for use in (model.fit, model.evaluate):
        with pytest.raises(DataError, match=message):
            use(x, y, verbose=0)
    assert int(model.optimizer.iterations) == 0


def test_empty_texts_are_answered(answerer):
    model = answerer()
    questions, contexts = ["", "what ?", "what ?", " "], ["a film", "", "\n", ""]
    found = model.predict((questions, contexts), verbose=0)
    assert found[0].text in ("a", "film", "a film") and np.isfinite(found[0].score)
    assert found[1:] == [("", 0, -1e9)] * 3
    assert model.predict(([""], [""]), verbose=0) == found[1:2]


def test_bad_texts_to_predict(answerer):
    with pytest.raises(DataError, match="Every context .* row 1 with a NoneType"):
        answerer().predict((["", ""], ["", None]), verbose=0)
    with pytest.raises(DataError, match=r"a tuple \(questions, contexts\)"):
        answerer().predict(["film", "the film"], verbose=0)


def test_weights_must_be_of_the_questions(answerer):
    with pytest.raises(DataError, match="Received: 10 for 4 questions"):
        answerer().fit(TEXTS, ANSWERS, sample_weight=np.ones(10), verbose=0)


def test_dataset_of_texts_is_refused(answerer):
    columns = tuple(tf.constant(texts) for texts in TEXTS)
    data = tf.data.Dataset.from_tensor_slices((columns, [[1, 2]] * 4)).batch(2)
    with pytest.raises(DataError, match="in memory.* Received: a dataset of texts"):
        answerer().fit(data, verbose=0)


def test_model_without_a_preprocessor(adapted):
    model = AdapterQuestionAnswerer(adapted())
    with pytest.raises(DataError, match="takes windows as tensors.* a tuple"):
        model.predict(TEXTS, verbose=0)


def test_window_without_room(preprocessor):
    preprocessor.sequence_length = 7
    with pytest.raises(UserError, match="must be 8 or more.* sequence_length=7"):
        question_windows(*TEXTS, preprocessor)
