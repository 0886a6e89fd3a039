"""SQuAD v1.1 files and flat lists of questions."""

import copy
import json

import pytest
from absl import logging

from adapters_tf.data.squad import (
    AnswerReport,
    is_question_file,
    read_flat_questions,
    read_questions,
    read_squad,
)
from adapters_tf.errors import DataError

CONTEXT = "\U0001f600 Ada Lovelace met Babbage in 1833."
SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": "Ada",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {
                            "id": "q1",
                            "question": "Who met Babbage?",
                            "answers": [
                                {"text": "Ada Lovelace", "answer_start": 2},
                                {"text": "Lovelace", "answer_start": 6},
                            ],
                        },
                        {
                            "id": "q2",
                            "question": "When?",
                            "answers": [{"text": "1833", "answer_start": 30}],
                        },
                    ],
                }
            ],
        }
    ],
}
FLAT = [
    {"context": "a cat and a cat", "question": "Who?", "answer": "cat"},
    {"context": "a dog", "question": "Who?", "answer": "dog"},
    {"context": "a dog", "question": "Who?", "answer": "a dog"},
    {"context": "a dog", "question": "What?", "answer": "cow"},
]


@pytest.fixture
def write(tmp_path):
    def write(content, name="a.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def changed(change):
    content = copy.deepcopy(SQUAD)
    paragraph = content["data"][0]["paragraphs"][0]
    change(content, paragraph, paragraph["qas"][0])
    return content


def test_read_squad(write):
    examples = read_squad(write(SQUAD))
    assert examples.ids == ["q1", "q2"]
    assert examples.questions == ["Who met Babbage?", "When?"]
    assert examples.contexts == [CONTEXT, CONTEXT]
    assert examples.answers == [("Ada Lovelace", "Lovelace"), ("1833",)]
    # Offsets count code points: the emoji is one, not two UTF-16 units.
    assert examples.starts == [(2, 6), (30,)]


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda c, p, q: c.pop("data"), r"list under 'data'.*keys are \['version'\]"),
        (
            lambda c, p, q: [q.update(is_impossible=True) for q in p["qas"]],
            r"never 'no answer'. .*a.json, with 2 questions, none",
        ),
        (lambda c, p, q: q.update(is_impossible=1), r"true or false.*qas\[0\] with 1$"),
        (lambda c, p, q: q.update(answers=[]), r"must have an answer.*qas\[0\]"),
        (lambda c, p, q: q.pop("answers"), r"must have an answer.*qas\[0\]"),
        (lambda c, p, q: q.update(id="q2"), "ids .* unique.*'q2'"),
        (lambda c, p, q: q.update(id=7.0), "a string under 'id'.*is float"),
        (lambda c, p, q: q.update(id=True), "a string under 'id'.*is bool"),
        (lambda c, p, q: q.pop("question"), "under 'question'.*there is nothing"),
        (lambda c, p, q: q.update(question=" "), "No question may be empty"),
        (lambda c, p, q: q.update(question="\ud800"), "valid Unicode.*surrogate"),
        (lambda c, p, q: p.pop("context"), r"'context'.*paragraphs\[0\]"),
        (lambda c, p, q: p.update(qas={}), "a list under 'qas'.*is dict"),
        (lambda c, p, q: c.update(data=["x"]), "under 'paragraphs'"),
        (lambda c, p, q: c.update(data=[]), "must hold questions"),
        (lambda c, p, q: q["answers"][0].pop("answer_start"), "integer.*answer_start"),
        (lambda c, p, q: q["answers"][0].update(answer_start=True), "an integer"),
        (lambda c, p, q: q["answers"][0].update(text=""), "No text may be empty"),
        (
            lambda c, p, q: q["answers"][0].update(answer_start=3),
            "'q1', answer 'Ada Lovelace' at 3, .* is 'da Lovelace '.*1 answers",
        ),
        # Python takes this for the right place, counted from the end.
        (
            lambda c, p, q: q["answers"][0].update(answer_start=2 - len(CONTEXT)),
            "'Ada Lovelace' at -33",
        ),
        (lambda c, p, q: q["answers"][0].update(answer_start=999), "there is ''"),
    ],
)
def test_bad_squad(write, change, match):
    with pytest.raises(DataError, match=match):
        read_squad(write(changed(change)))


def test_integer_ids_are_texts(write):
    content = changed(lambda c, p, q: q.update(id=7))
    assert read_squad(write(content)).ids == ["7", "q2"]
    content["data"][0]["paragraphs"][0]["qas"][1]["id"] = "7"
    with pytest.raises(DataError, match="ids .* unique.*'7'"):
        read_squad(write(content))


@pytest.mark.parametrize(
    "change",
    [
        # As in SQuAD v2.0, whose answers that are only plausible are not read.
        lambda c, p, q: q.update(is_impossible=True, answers=[], plausible_answers=[]),
        lambda c, p, q: q.update(is_impossible=True),
        lambda c, p, q: (c.update(version="v2.0"), q.update(answers=[])),
    ],
)
def test_impossible_questions_are_left_out_and_counted(write, change, monkeypatch):
    messages = []
    monkeypatch.setattr(logging, "warning", lambda text, *a: messages.append(text % a))
    path = write(changed(change))
    assert read_squad(path).ids == ["q2"]
    (message,) = messages
    assert "1 of the 2 questions" in message and "left out" in message
    # To predict, none is left out.
    examples = read_squad(path, require_answers=False)
    assert (examples.ids, examples.answers) == (["q1", "q2"], [(), ("1833",)])
    assert len(messages) == 1


def test_v2_whose_questions_all_have_answers(write, monkeypatch):
    monkeypatch.setattr(logging, "warning", None)
    path = write(changed(lambda c, p, q: c.update(version="v2.0")))
    assert read_squad(path).ids == ["q1", "q2"]


def test_wrong_offsets_are_counted(write):
    content = changed(lambda c, p, q: p.update(context="x" + CONTEXT))
    with pytest.raises(DataError, match="3 answers are elsewhere"):
        read_squad(write(content))


def test_malformed_json(write):
    with pytest.raises(DataError, match="must be JSON.*line 1 column 2"):
        read_squad(write("{"))


def test_unlabelled_questions(write):
    path = write(changed(lambda c, p, q: q.pop("answers")))
    examples = read_squad(path, require_answers=False)
    assert examples.answers == [(), ("1833",)]
    assert examples.starts == [(), (30,)]


def test_only_questions_to_predict_may_be_empty(write):
    def empty(content, paragraph, question):
        question["question"] = " "
        paragraph["context"] = ""
        for each in paragraph["qas"]:
            del each["answers"]

    for path in (
        write(changed(empty), "squad.json"),
        write([{"question": q, "context": ""} for q in (" ", "When?")], "flat.json"),
    ):
        examples = read_questions(path, require_answers=False)
        assert (examples.questions, examples.contexts) == ([" ", "When?"], ["", ""])
        with pytest.raises(DataError, match="No context may be empty. Received: "):
            read_questions(path)
    path = write([{"question": None, "context": ""}])
    with pytest.raises(DataError, match="a string under 'question'.* item 0, .*noth"):
        read_questions(path, require_answers=False)


def test_flat_questions(write):
    examples, report = read_flat_questions(write(FLAT))
    assert report == AnswerReport(once=2, several=1, missing=1)
    assert examples.answers == [("cat",), ("dog",), ("a dog",)]
    assert examples.starts == [(2,), (2,), (0,)]
    assert examples.contexts == ["a cat and a cat", "a dog", "a dog"]


def test_flat_ids_are_unique_and_do_not_depend_on_other_rows(write):
    ids = read_flat_questions(write(FLAT))[0].ids
    assert len(set(ids)) == 3
    assert ids[2] == ids[1] + "-2"
    assert read_flat_questions(write(FLAT[1:2]))[0].ids == [ids[1]]


def test_flat_without_answers(write):
    rows = [{"context": "a dog", "question": "Who?"}]
    with pytest.raises(DataError, match="under 'answer'.*item 0"):
        read_flat_questions(write(rows))
    examples, report = read_flat_questions(write(rows), require_answers=False)
    assert examples.answers == [()] and examples.starts == [()]
    assert report == AnswerReport()


def test_flat_answers_do_not_matter_to_predict(write):
    examples, report = read_flat_questions(write(FLAT), require_answers=False)
    assert (len(examples), examples.answers) == (4, [()] * 4)
    assert report == AnswerReport()


def test_flat_with_no_answer_in_any_context(write):
    with pytest.raises(DataError, match="letter by letter.*none of 1"):
        read_flat_questions(write(FLAT[3:]))


def test_flat_must_be_a_list(write):
    with pytest.raises(DataError, match="JSON list.*a JSON dict"):
        read_flat_questions(write(SQUAD))
    with pytest.raises(DataError, match="must hold questions"):
        read_flat_questions(write("[]"))


def test_read_questions_takes_both_and_logs_the_report(write, monkeypatch):
    messages = []
    monkeypatch.setattr(logging, "warning", lambda text, *a: messages.append(text % a))
    assert read_questions(write(SQUAD)).ids == ["q1", "q2"]
    assert messages == []
    assert len(read_questions(write(FLAT))) == 3
    assert "of 4, 1 were found several times" in messages[0]
    assert "1 not at all" in messages[0]


def test_is_question_file(write, tmp_path):
    assert is_question_file(write(SQUAD))
    assert is_question_file(write(FLAT))
    assert not is_question_file(write(SQUAD, "a.txt"))
    assert not is_question_file(write([{"text": "a"}]))
    assert not is_question_file(write('{"text": "a"}\n{"text": "b"}\n'))
    assert not is_question_file(write("[]"))
    assert not is_question_file(tmp_path / "missing.json")
