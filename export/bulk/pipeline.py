"""Files of rows to files of predictions, on any runner of Apache Beam."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from adapters_tf.data.files import FileFormat
from adapters_tf.data.row_stream import RowStream, WholeRows
from adapters_tf.export.bulk.job import BulkJob, ServedTask
from adapters_tf.export.bulk.model_handler import TaskHandler
from adapters_tf.export.bulk.rows import Row, check_separator, rows_of
from adapters_tf.export.directories import new_directory
from adapters_tf.io import new_file
from adapters_tf.tasks.file_task import stream_file_examples
from adapters_tf.tasks.task import Task

# Beam's default first tries a runner that it downloads from the network.
_LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
# Where a row is: the file, the file of predictions, the place in that.
_Place = tuple[int, int, int]


class ReadRows(beam.DoFn):
    """`(number, path)` of a file to its rows, each with its place.

    Args:
        task: The task.
        format: The file's columns.
        rows_per_file: Rows of a file of predictions.
    """

    def __init__(self, task: Task, format: FileFormat, rows_per_file: int) -> None:
        self._task, self._format, self._size = task, format, rows_per_file

    def process(self, element: tuple[int, str]) -> Iterator[tuple[_Place, Row]]:
        number, path = element
        for i, row in enumerate(self._rows(self._open(path))):
            yield (number, *divmod(i, self._size)), row

    def num_rows(self, path: str) -> int:
        """How many rows a file has, after a check of all of them."""
        rows = self._open(path)
        if len(self._task.text_columns) > 2:
            check_separator(self._rows(rows), path)
        return len(rows)

    def _open(self, path: str) -> RowStream | WholeRows:
        return stream_file_examples(path, self._format, self._task)

    def _rows(self, rows: RowStream | WholeRows) -> Iterator[Row]:
        for window in rows.windows(self._size):
            yield from rows_of(window)


class WriteRows(beam.DoFn):
    """The predictions of consecutive rows to a file, whole or not at all.

    Args:
        directory: Where the file shall be. A bundle that a runner tries again writes
            the same bytes.
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
    """Predict all rows of the files.

    Writes `part-FFFFF-PPPPPPPP.jsonl`, by the number of the input file and of the
    part of it: in the order of their names they hold the rows in the order of the
    files. The directory gets its name when all of them are there.

    Args:
        job: What to predict.

    Returns:
        The number of rows.

    Raises:
        UserError: if the servable, a file or the output directory is not usable.
    """
    served = ServedTask.of(job.servable, job.name)
    format = job.format or FileFormat(served.task.text_columns)
    files = [(i, os.path.abspath(path)) for i, path in enumerate(job.files)]
    reader = ReadRows(served.task, format, job.rows_per_file)
    # A fault on the last line is known before the first row is predicted.
    total = sum(reader.num_rows(path) for _, path in files)
    handler: Any = KeyedModelHandler(TaskHandler(served, job.batch_size))
    with new_directory(job.output_dir) as directory:
        # Of two, the last one counts.
        options = [f"--runner={_LOCAL_RUNNER}", *job.beam_options]
        with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(files)
                | "Read" >> beam.ParDo(reader)
                # Rows of one file go to all workers.
                | "Spread" >> beam.Reshuffle()
                | "Predict" >> RunInference(handler)
                | "ByPart" >> beam.Map(_by_part)
                | "Gather" >> beam.GroupByKey()
                | "Write" >> beam.ParDo(WriteRows(str(directory)))
            )
        for left in directory.glob(".part-*"):  # of bundles that were tried again
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
