"""The task of the embedded default: tweets in three classes."""

from adapters_tf.data.demo import DEMO_DATA_ENCODING, demo_data_file
from adapters_tf.data.examples import Examples, TaskData
from adapters_tf.data.files import FileFormat, read_columns
from adapters_tf.data.labels import encode_class_labels
from adapters_tf.data.splits import train_dev_split
from adapters_tf.data.text_splits import text_key
from adapters_tf.models.task import Task

_LABELS = ("negative", "neutral", "positive")
_DEV_FRACTION = 0.05


def load_demo_task(seed: int = 0) -> TaskData:
    """The tweets of `demo_data_file`, each text once.

    The file repeats many tweets, which would stand in both parts of a random
    split; so the first row of each text is kept, whatever its case and spacing.

    Args:
        seed: Seed of the split into 95% training and 5% dev rows, by class.

    Raises:
        UserError: if the file is not in the cache and cannot be fetched.
    """
    table = read_columns(
        demo_data_file(),
        FileFormat(("text",), "sentiment", encoding=DEMO_DATA_ENCODING),
    )
    first: dict[str, int] = {}
    for row, text in enumerate(table.texts[0]):
        first.setdefault(text_key(text), row)
    rows = list(first.values())
    raw = table.raw_labels or []
    examples = Examples(
        ([table.texts[0][i] for i in rows],),
        encode_class_labels([raw[i] for i in rows], _LABELS),
    )
    train, dev = train_dev_split(examples.labels, len(examples), _DEV_FRACTION, seed)
    task = Task(
        "tweets", "classification", ("text",), _LABELS, ("accuracy", "f1_macro")
    )
    return TaskData(task, examples.take(train), examples.take(dev))
