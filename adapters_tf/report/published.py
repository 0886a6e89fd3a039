"""What the paper published, to stand beside a study's own numbers."""

from collections.abc import Collection

from adapters_tf.report.table import Table

# Houlsby et al. (2019): tables 1 and 2, sections 3.2 to 3.5. GLUE and the 17 tasks
# are test scores, SQuAD and MNLI those of the validation rows.
_GLUE = "GLUE, 9 tasks, BERT-large"
_OTHERS = "17 further tasks, BERT-base"
_Row = tuple[str | None, ...]
_ALWAYS: tuple[_Row, ...] = (
    (_GLUE, "full fine-tuning", "80.4", "100%", "9×"),
    (_GLUE, "adapters, best of sizes 8 to 256", "80.0", "3.6%", "1.3×"),
    (_GLUE, "adapters 64", "79.6", "2.1%", None),
    (_OTHERS, "full fine-tuning", "73.7", "100%", "17×"),
    (_OTHERS, "variable fine-tuning", "74.0", None, None),
    (_OTHERS, "adapters, best of sizes 2 to 64", "73.3", "1.14%", "1.19×"),
)
_MNLI: tuple[_Row, ...] = (
    ("MNLI-m, BERT-base", "full fine-tuning", "84.4", "100%", None),
    ("MNLI-m, BERT-base", "adapters 64", "83.7", None, None),
    ("MNLI-m, BERT-base", "top block fine-tuned", "77.8", None, None),
)
_SQUAD: tuple[_Row, ...] = (
    ("SQuAD v1.1 F1, BERT-base", "full fine-tuning", "90.7", "100%", None),
    ("SQuAD v1.1 F1, BERT-base", "adapters 64", "90.4", None, None),
    ("SQuAD v1.1 F1, BERT-base", "adapters 2", "89.9", None, None),
)

SUMMARY = (
    "For comparison, Houlsby et al. (2019) published for GLUE with BERT-large 80.4 for "
    "full fine-tuning and 80.0 for adapters with 3.6% of the parameters a task and 1.3 "
    "times those of the base for 9 tasks, and for 17 further tasks with BERT-base 73.7 "
    "and 73.3 with 1.14% and 1.19 times. These are other bases, tasks and rows."
)


def published_table(tasks: Collection[str], with_questions: bool) -> Table:
    """The paper's numbers.

    Args:
        tasks: The study's tasks; MNLI's numbers are given only beside the study's own.
        with_questions: Whether to give those of SQuAD.
    """
    rows = _ALWAYS
    if "mnli" in tasks:
        rows += _MNLI
    if with_questions:
        rows += _SQUAD
    return Table(
        "published",
        "Published by Houlsby et al. (2019), arXiv:1902.00751, not measured here: "
        "average scores, parameters trained for a task, and parameters in total "
        "relative to one base.",
        ("tasks and base", "method", "score", "trained a task", "total"),
        rows,
    )
