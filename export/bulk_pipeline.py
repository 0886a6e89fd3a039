"""An Apache Beam pipeline from files of rows to files of predictions."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.ml.inference.base import (
    KeyedModelHandler,
    ModelHandler,
    PredictionResult,
    RunInference,
)
from apache_beam.options.pipeline_options import PipelineOptions

from adapters_tf.data.files import FileFormat
from adapters_tf.data.row_stream import RowStream, WholeRows
from adapters_tf.export.bulk_job import BulkJob, ServedTask
from adapters_tf.export.rows import Row, check_separator, rows_of, signature_inputs
from adapters_tf.export.saving import new_directory
from adapters_tf.io import new_file
from adapters_tf.models.task import Task
from adapters_tf.tasks.file_task import stream_file_examples
from adapters_tf.tasks.kinds import kind_named

# Beam's default first tries a runner that it downloads from the network.
_LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
# A row's input file, its file of predictions, and its index in the latter.
_Place = tuple[int, int, int]


class ReadRows(beam.DoFn):
    """Reads the rows of a `(number, path)` file, each with its place.

    Args:
        task: The task.
        format: The file's columns.
        rows_per_file: Rows per file of predictions.
    """

    def __init__(self, task: Task, format: FileFormat, rows_per_file: int) -> None:
        self._task, self._format, self._size = task, format, rows_per_file

    def process(self, element: tuple[int, str]) -> Iterator[tuple[_Place, Row]]:
        number, path = element
        for i, row in enumerate(self._rows(self._open(path))):
            yield (number, *divmod(i, self._size)), row

    def num_rows(self, path: str) -> int:
        """Check all rows of a file and count them."""
        rows = self._open(path)
        if len(self._task.text_columns) > 2:
            check_separator(self._rows(rows), path)
        return len(rows)

    def _open(self, path: str) -> RowStream | WholeRows:
        return stream_file_examples(path, self._format, self._task)

    def _rows(self, rows: RowStream | WholeRows) -> Iterator[Row]:
        for window in rows.windows(self._size):
            yield from rows_of(window)


class TaskHandler(ModelHandler[Row, PredictionResult, Any]):
    """Runs a task's signature on batches of `Row`.

    The result for a row is the record that `adapters-tf-predict` writes for it.

    Args:
        served: The task.
        batch_size: Maximum rows per batch.
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
        """Return the namespace of RunInference's metrics."""
        return "adapters_tf"


class WriteRows(beam.DoFn):
    """Writes the predictions of consecutive rows to a file, atomically.

    If a runner retries a bundle, it writes the same bytes.

    Args:
        directory: The directory of the file.
    """

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def process(
        self, element: tuple[tuple[int, int], Iterable[tuple[int, dict[str, Any]]]]
    ) -> Iterator[int]:
        (number, part), found = element
        records = [record for _, record in sorted(found, key=lambda pair: pair[0])]
        path = self._directory / f"part-{number:05d}-{part:08d}.jsonl"
        with (
            new_file(path) as temporary,
            open(temporary, "w", encoding="utf-8") as file,
        ):
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        yield len(records)


def _by_part(element: tuple[_Place, Any]) -> tuple[tuple[int, int], tuple[int, Any]]:
    (number, part, place), result = element
    return (number, part), (place, result.inference)


def predict_in_bulk(job: BulkJob) -> int:
    """Predict all rows of a job's files.

    This writes `part-FFFFF-PPPPPPPP.jsonl`: F is the number of the input file, P the
    part of that file. Sorted by name, the files hold the predictions in the order of
    the rows. The directory gets its final name when all files are complete.

    Args:
        job: The settings.

    Returns:
        The number of rows.

    Raises:
        UserError: if the servable, a file or the output directory is unusable.
    """
    served = ServedTask.of(job.servable, job.name)
    format = job.format or FileFormat(served.task.text_columns)
    files = [(i, os.path.abspath(path)) for i, path in enumerate(job.files)]
    reader = ReadRows(served.task, format, job.rows_per_file)
    # Find errors on the last line before predicting the first row.
    total = sum(reader.num_rows(path) for _, path in files)
    handler: Any = KeyedModelHandler(TaskHandler(served, job.batch_size))
    with new_directory(job.output_dir) as directory:
        # If the job also names a runner, the last one wins.
        options = [f"--runner={_LOCAL_RUNNER}", *job.beam_options]
        with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(files)
                | "Read" >> beam.ParDo(reader)
                # Distribute the rows of one file to all workers.
                | "Spread" >> beam.Reshuffle()
                | "Predict" >> RunInference(handler)
                | "ByPart" >> beam.Map(_by_part)
                | "Gather" >> beam.GroupByKey()
                | "Write" >> beam.ParDo(WriteRows(str(directory)))
            )
        for left in directory.glob(".part-*"):  # Left by retried bundles.
            left.unlink()
        written = sum(map(_lines, directory.glob("part-*.jsonl")))
        if written != total:
            raise RuntimeError(
                f"The pipeline has ended with {written} predictions for {total} rows"
            )
    return total


def _lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(1 for _ in file)
