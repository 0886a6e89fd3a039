"""A servable's task in Apache Beam's RunInference."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from adapters_tf.export.bulk.job import ServedTask
from adapters_tf.export.bulk.rows import Row, signature_inputs
from adapters_tf.tasks.kinds import kind_named


class TaskHandler(ModelHandler[Row, PredictionResult, Any]):
    """Runs a task's signature on batches of `Row`.

    The inference of a row is the record that `adapters-tf-predict` writes for it.

    Args:
        served: The task.
        batch_size: Most rows of a batch.
    """

    def __init__(self, served: ServedTask, batch_size: int) -> None:
        super().__init__(max_batch_size=batch_size)
        self._served = served

    def load_model(self) -> Any:
        import tensorflow_text  # noqa: F401  Its ops tokenise.

        return tf.saved_model.load(self._served.version_dir)

    def run_inference(
        self,
        batch: Sequence[Row],
        model: Any,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[PredictionResult]:
        function = model.signatures[self._served.signature]
        inputs = {k: tf.constant(v) for k, v in signature_inputs(batch).items()}
        outputs = {k: v.numpy() for k, v in function(**inputs).items()}
        task = self._served.task
        kind = kind_named(task.kind)
        found = []
        for i, row in enumerate(batch):
            own = {name: values[i] for name, values in outputs.items()}
            record = kind.served_record(task, own, row.texts, row.row_id)
            found.append(PredictionResult(row, record))
        return found

    def get_metrics_namespace(self) -> str:
        """The namespace of RunInference's metrics."""
        return "adapters_tf"
