"""Read question-answering files: SQuAD's JSON and flat lists of questions."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

from absl import logging

from adapters_tf.data.examples import QuestionExamples
from adapters_tf.data.tables import read_text
from adapters_tf.errors import DataError
from adapters_tf.models.question_texts import check_answer_positions, check_text


@dataclasses.dataclass(frozen=True)
class AnswerReport:
    """Counts of a flat file's answers by their occurrence in the contexts.

    Attributes:
        once: Questions whose answer occurs exactly once in the context.
        several: Questions whose answer occurs several times; the first occurrence is
            used.
        missing: Questions whose answer does not occur; these are left out.
    """

    once: int = 0
    several: int = 0
    missing: int = 0


def read_questions(
    path: str | os.PathLike[str],
    *,
    require_answers: bool = True,
    encoding: str = "utf-8-sig",
) -> QuestionExamples:
    """Read a SQuAD file or a flat list, depending on the content.

    Args:
        path: A JSON file.
        require_answers: Whether every question needs an answer. If not, the rows are to
            be predicted, and questions and contexts may be empty.
        encoding: Name of a Python codec.

    Raises:
        DataError: See `read_squad` and `read_flat_questions`.
    """
    content = _read_json(path, encoding)
    if isinstance(content, list):
        examples, report = _flat(content, str(path), require_answers)
        if report.several or report.missing:
            logging.warning(
                "%s gives no positions of its answers: of %d, %d were found several "
                "times (the first place is taken) and %d not at all (left out)",
                path,
                report.once + report.several + report.missing,
                report.several,
                report.missing,
            )
        return examples
    return _squad(content, str(path), require_answers)


def read_squad(
    path: str | os.PathLike[str], *, require_answers: bool = True
) -> QuestionExamples:
    """Read a file in the JSON format of SQuAD v1.1 or v2.0 (Rajpurkar et al.).

    Ids that are integers become texts. If answers are needed, the questions that v2.0
    marks as impossible to answer are left out, and their number is logged: the model
    always returns a span.

    Args:
        path: The file.
        require_answers: As in `read_questions`.

    Raises:
        DataError: if the structure differs, a text is empty, an id repeats, an answer
            is missing or not at its position, or no question has one.
    """
    return _squad(_read_json(path), str(path), require_answers)


def read_flat_questions(
    path: str | os.PathLike[str], *, require_answers: bool = True
) -> tuple[QuestionExamples, AnswerReport]:
    """Read a JSON list of `{"context", "question", "answer"}` objects.

    Each answer's position is its first occurrence in the context. Ids are hashes of
    context and question, with a number appended for repeated questions, so they do not
    depend on other rows.

    Args:
        path: The file.
        require_answers: As in `read_questions`. If not, answers are not read.

    Raises:
        DataError: if the structure differs, a text is empty, or no answer occurs in its
            context.
    """
    content = _read_json(path)
    if not isinstance(content, list):
        raise DataError(
            f"A flat file of questions must be a JSON list. Received: {path}, a JSON "
            f"{type(content).__name__}"
        )
    return _flat(content, str(path), require_answers)


def is_question_file(path: str | os.PathLike[str], encoding: str = "utf-8-sig") -> bool:
    """Whether this is a `.json` file in one of the two formats."""
    if not str(path).lower().endswith(".json"):
        return False
    try:
        content = json.loads(read_text(path, encoding))
    except (ValueError, RecursionError):
        # JSON lines are not a JSON text; reading reports a missing file later.
        return False
    if isinstance(content, dict):
        return isinstance(content.get("data"), list)
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and {"context", "question"} <= set(first)


def check_positions(examples: QuestionExamples, source: str) -> None:
    """Reject answers that are not at their stated positions in the contexts.

    Raises:
        DataError: if there are any; names the first and their number.
    """
    check_answer_positions(
        (f"{source}, question {identity!r}", context, answer, start)
        for identity, context, answers, starts in zip(
            examples.ids,
            examples.contexts,
            examples.answers,
            examples.starts,
            strict=True,
        )
        for answer, start in zip(answers, starts, strict=True)
    )


def _read_json(path: str | os.PathLike[str], encoding: str = "utf-8-sig") -> Any:
    text = read_text(path, encoding)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"A question-answering file must be JSON. Received: {path}: {error}"
        ) from None


def _squad(content: Any, path: str, require_answers: bool) -> QuestionExamples:
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        keys = list(content) if isinstance(content, dict) else type(content).__name__
        raise DataError(
            "A SQuAD file must be a JSON object with a list under 'data'. Received: "
            f"{path}, whose keys are {keys}"
        )
    is_v2 = str(content.get("version", "1.1")).lstrip("v").startswith("2")
    rows = list(_squad_rows(content["data"], path, require_answers, is_v2))
    answered = [row for row in rows if row[3] or not require_answers]
    left_out = len(rows) - len(answered)
    if left_out and not answered:
        raise DataError(
            "Training and evaluation need questions with an answer: the model always "
            f"returns a span, never 'no answer'. Received: {path}, with {left_out} "
            "questions, none of which has one"
        )
    if left_out:
        logging.warning(
            "%d of the %d questions of %s have no answer, as in SQuAD v2.0, and are "
            "left out: the model always returns a span",
            left_out,
            len(rows),
            path,
        )
    examples = _examples(answered, path)
    seen: set[str] = set()
    for identity in examples.ids:
        if identity in seen:
            raise DataError(
                f"The ids of questions must be unique. Received: {path}, in which "
                f"{identity!r} stands more than once"
            )
        seen.add(identity)
    check_positions(examples, path)
    return examples


def _squad_rows(
    articles: list[Any], path: str, require: bool, is_v2: bool
) -> Iterator[tuple]:
    for a, article in enumerate(articles):
        where = f"{path}, data[{a}]"
        for p, paragraph in enumerate(_get(article, "paragraphs", list, where)):
            where = f"{path}, data[{a}].paragraphs[{p}]"
            context = _get(paragraph, "context", str, where, not require)
            for q, qa in enumerate(_get(paragraph, "qas", list, where)):
                at = f"{where}.qas[{q}]"
                identity = _identity(qa, at)
                question = _get(qa, "question", str, at, not require)
                impossible = qa.get("is_impossible", False)
                if not isinstance(impossible, bool):
                    raise DataError(
                        "There must be true or false under 'is_impossible'. Received: "
                        f"{at} with {impossible!r}"
                    )
                answers = _get(qa, "answers", list, at) if "answers" in qa else []
                if impossible:
                    answers = []
                elif require and not is_v2 and not answers:
                    raise DataError(
                        "Every question must have an answer, for training and "
                        f"evaluation. Received: {at} without"
                    )
                texts = tuple(_get(x, "text", str, at + ".answers") for x in answers)
                starts = tuple(
                    _get(x, "answer_start", int, at + ".answers") for x in answers
                )
                yield identity, question, context, texts, starts


def _flat(
    content: list[Any], path: str, require: bool
) -> tuple[QuestionExamples, AnswerReport]:
    rows, counts = [], {"once": 0, "several": 0, "missing": 0}
    uses: dict[str, int] = {}
    for number, item in enumerate(content):
        where = f"{path}, item {number}"
        context = _get(item, "context", str, where, not require)
        question = _get(item, "question", str, where, not require)
        texts: tuple[str, ...] = ()
        starts: tuple[int, ...] = ()
        key = hashlib.sha256(f"{context}\0{question}".encode()).hexdigest()[:16]
        uses[key] = uses.get(key, 0) + 1
        identity = key if uses[key] == 1 else f"{key}-{uses[key]}"
        if require:
            texts = (_get(item, "answer", str, where),)
            starts = (context.find(texts[0]),)
            places = context.count(texts[0])
            counts[("missing", "once", "several")[min(places, 2)]] += 1
            if not places:
                continue
        rows.append((identity, question, context, texts, starts))
    report = AnswerReport(**counts)
    if report.missing and not rows:
        raise DataError(
            "Answers must stand in their contexts, letter by letter. Received: "
            f"{path}, in which none of {report.missing} does"
        )
    return _examples(rows, path), report


def _examples(rows: list[tuple], path: str) -> QuestionExamples:
    if not rows:
        raise DataError(f"A data file must hold questions. Received: {path} with none")
    return QuestionExamples(*(list(column) for column in zip(*rows, strict=True)))


def _get(
    record: Any, key: str, kind: type, where: str, may_be_empty: bool = False
) -> Any:
    value = record.get(key) if isinstance(record, dict) else None
    name = {str: "a string", list: "a list", int: "an integer"}[kind]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(
            f"There must be {name} under {key!r}. Received: {where}, where there is "
            f"{type(value).__name__ if value is not None else 'nothing'}"
        )
    if isinstance(value, str):
        check_text(value, key, where, may_be_empty)
    return value


def _identity(qa: Any, where: str) -> str:
    """Return a question's id as text, of a string or an integer."""
    found = qa.get("id") if isinstance(qa, dict) else None
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return _get(qa, "id", str, where)
