"""The files that GLUE's evaluation server takes, from one adapter a task."""

import os
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from adapters_tf.data.examples import Examples
from adapters_tf.data.glue import GLUE_LAYOUTS, GLUE_TESTS, read_glue_test
from adapters_tf.errors import DataError, UserError
from adapters_tf.io import new_file
from adapters_tf.tasks.source import TASKS, reading_published_files
from adapters_tf.training.predict_texts import LoadedAdapter

ARCHIVE = "submission.zip"

# The server takes complete sets only. A missing test set is filled with its first
# class, or with this score.
_CONSTANT_SCORE = 0.0
_LARGEST_SCORE = 5.0


def missing_tests(tasks: Iterable[str]) -> list[str]:
    """The test sets that need adapters of other tasks, in GLUE's order.

    Args:
        tasks: Names of GLUE tasks.
    """
    known = set(tasks)
    return [name for name, test in GLUE_TESTS.items() if test.task not in known]


def write_glue_submission(
    adapters: Mapping[str, str | os.PathLike[str]],
    data_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    preset: str | None = None,
    batch_size: int = 64,
    *,
    fill_missing: bool = False,
    archive: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Predict GLUE's test sets and write the files that its server takes.

    The files are `CoLA.tsv`, `SST-2.tsv` and so on, with the columns `index` and
    `prediction`: 0 or 1, a name such as `not_entailment`, or for STS-B a score clipped
    to 0 to 5. MNLI's adapter predicts three: `MNLI-m.tsv`, `MNLI-mm.tsv` and the
    diagnostic set, `AX.tsv`. Adapters, test sets and output are checked before the
    first prediction. A warning lists the files that a complete submission lacks.

    Args:
        adapters: GLUE task (`cola`, `mnli`, ...) -> its adapter directory.
        data_dir: GLUE's folders, with the test files.
        output_dir: Where to write; created if it does not exist.
        preset: The base; by default the one that each adapter names.
        batch_size: Rows of a batch.
        fill_missing: Also write the test sets of tasks without an adapter, with a
            constant prediction whose score means nothing.
        archive: Also write `submission.zip` with all files.
        overwrite: Replace files of these names in `output_dir`.

    Returns:
        The files written, in GLUE's order; the archive last.

    Raises:
        UserError: A name is not a GLUE task, an adapter is of another task, a file
            exists already, or the archive would be incomplete.
        AdapterFileError: An adapter directory or its base is not usable.
        DataError: A test set is missing or not as GLUE's.
    """
    _check_names(adapters)
    missing = missing_tests(adapters)
    if archive and missing and not fill_missing:
        raise UserError(
            "An archive must hold all of GLUE's test sets, as the server takes no "
            f"other. Received: no adapter for {', '.join(missing)}. Give adapters for "
            "them, or let them be filled with a constant prediction (fill_missing)"
        )
    loaded = {
        task: _open_adapter(task, directory, preset, batch_size)
        for task, directory in adapters.items()
    }
    with reading_published_files():
        rows = {
            name: read_glue_test(name, data_dir)
            for name in GLUE_TESTS
            if name not in missing
        }
    written = [name for name in GLUE_TESTS if name in rows or fill_missing]
    output = _prepare(Path(output_dir), written, archive, overwrite)
    paths = {name: output / f"{name}.tsv" for name in written}
    for task in list(loaded):
        # `pop` frees each adapter's base before the next prediction.
        adapter = loaded.pop(task)
        for name in [n for n in rows if GLUE_TESTS[n].task == task]:
            numbers, examples = rows[name]
            _write(paths[name], numbers, _predict(adapter, task, examples))
    for name in missing if fill_missing else []:
        _write(paths[name], *_constant(name, data_dir))
    if missing:
        logging.warning(
            "%s: %s. GLUE's server takes complete sets only; fill_missing makes "
            "constant predictions, whose scores mean nothing",
            "Constant" if fill_missing else "Not written",
            ", ".join(f"{name}.tsv" for name in missing),
        )
    files = list(paths.values())
    if archive:
        files.append(_write_archive(output / ARCHIVE, files))
    return files


def _check_names(adapters: Mapping[str, Any]) -> None:
    unknown = [name for name in adapters if name not in GLUE_LAYOUTS]
    if unknown or not adapters:
        raise UserError(
            f"Adapters must be given for tasks of GLUE: {', '.join(GLUE_LAYOUTS)}. "
            f"Received: {', '.join(map(repr, unknown)) or 'none'}. The diagnostic set "
            "AX is predicted by the adapter of mnli"
        )


def _open_adapter(
    name: str, directory: str | os.PathLike[str], preset: str | None, batch_size: int
) -> LoadedAdapter:
    loaded = LoadedAdapter(directory, preset, batch_size)
    given, task = loaded.task, TASKS[name].task
    if (given.name, given.kind) != (task.name, task.kind) or (
        set(given.labels) != set(task.labels)
    ):
        wanted = f" with the classes {', '.join(task.labels)}" if task.labels else ""
        classes = f" with the classes {', '.join(given.labels)}" if given.labels else ""
        raise UserError(
            f"The adapter for {name} must be one that adapters-tf-train trained with "
            f"--task={name}, for {task.kind}{wanted}. Received: {directory}, of the "
            f"task {given.name!r}, for {given.kind}{classes}"
        )
    return loaded


def _prepare(output: Path, names: list[str], archive: bool, overwrite: bool) -> Path:
    files = [f"{name}.tsv" for name in names] + [ARCHIVE] * archive
    there = [file for file in files if (output / file).exists()]
    if there and not overwrite:
        raise UserError(
            "output_dir must not hold files of an earlier submission. Received: "
            f"{output}, which holds {', '.join(there)}. Name another directory, or "
            "give --overwrite to replace them"
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
        # So that a place that cannot be written is known before the long work.
        tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        raise _not_writable(output, error) from error
    return output


def _predict(adapter: LoadedAdapter, task: str, examples: Examples) -> list[str]:
    records = adapter.predictions(examples)
    layout = GLUE_LAYOUTS[task]
    if not layout.labels:
        return [_score(record["score"]) for record in records]
    written = dict(zip(layout.labels, layout.file_labels, strict=True))
    return [written[record["label"]] for record in records]


def _score(value: float) -> str:
    return f"{min(max(value, 0.0), _LARGEST_SCORE):.3f}"


def _constant(
    name: str, data_dir: str | os.PathLike[str]
) -> tuple[list[str], list[str]]:
    test = GLUE_TESTS[name]
    layout = GLUE_LAYOUTS[test.task]
    try:
        numbers, _ = read_glue_test(name, data_dir)
    except DataError:
        # A constant needs only the numbers of the rows, which are known.
        numbers = [str(i) for i in range(test.rows)]
    value = layout.file_labels[0] if layout.labels else _score(_CONSTANT_SCORE)
    return numbers, [value] * len(numbers)


def _write(path: Path, numbers: list[str], predictions: list[str]) -> None:
    lines = ["index\tprediction"]
    lines += [f"{n}\t{p}" for n, p in zip(numbers, predictions, strict=True)]
    content = "\n".join(lines) + "\n"
    _replace(path, lambda temporary: temporary.write_text(content, encoding="utf-8"))


def _write_archive(path: Path, files: list[Path]) -> Path:
    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                # Without a folder: the server looks for the files at the top.
                archive.write(file, file.name)

    _replace(path, write)
    return path


def _replace(path: Path, write: Any) -> None:
    try:
        with new_file(path) as temporary:
            write(temporary)
    except OSError as error:
        raise _not_writable(path.parent, error) from error


def _not_writable(output: Path, error: OSError) -> UserError:
    return UserError(
        "output_dir must be a directory that can be written. Received: "
        f"{str(output)!r}: {error.strerror}"
    )
