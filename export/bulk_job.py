"""Settings of a bulk prediction, checked before a pipeline starts."""

import dataclasses
import importlib.util
from pathlib import Path

from adapters_tf.data.files import FileFormat
from adapters_tf.errors import UserError, check_counts
from adapters_tf.export.describe import read_servable_json, versions_of
from adapters_tf.models.task import Task
from adapters_tf.tasks.kinds import kinds


@dataclasses.dataclass(frozen=True)
class BulkJob:
    """The settings of a bulk prediction.

    All machines that run the pipeline must have the files at the same paths.

    Attributes:
        servable: A servable; the pipeline uses its newest version.
        name: Name of one of its tasks.
        files: Files of rows: CSV, TSV or JSON lines; SQuAD JSON for questions; CoNLL
            files for tags.
        output_dir: A new directory for the predictions.
        format: The files' columns; by default the task's. Not used for questions.
        batch_size: Maximum rows per batch of the model.
        rows_per_file: Rows per file of predictions.
        beam_options: Apache Beam's own options, such as `"--runner=FlinkRunner"`.

    Raises:
        UserError: if there is no file, or a size is below 1.
    """

    servable: str
    name: str
    files: tuple[str, ...]
    output_dir: str
    format: FileFormat | None = None
    batch_size: int = 64
    rows_per_file: int = 16384
    beam_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_counts(self, "batch_size", "rows_per_file")
        absent = [path for path in self.files if not Path(path).is_file()]
        if absent or not self.files:
            raise UserError(
                "The files must be one file of rows or more. Received: "
                f"{f'no file {absent[0]!r}' if absent else 'none'}"
            )


@dataclasses.dataclass(frozen=True)
class ServedTask:
    """A task of a servable's version.

    Attributes:
        version_dir: The SavedModel.
        signature: The task's signature for texts.
        task: The task.
    """

    version_dir: str
    signature: str
    task: Task

    @classmethod
    def of(cls, servable: str, name: str) -> "ServedTask":
        """Find the task of this name in the newest version.

        Raises:
            UserError: if there is no such task, it has no own signature, or its adapter
                was saved without a task of a known kind.
        """
        newest = Path(servable) / str(versions_of(Path(servable))[-1])
        about = read_servable_json(newest)
        if name not in about["tasks"]:
            raise UserError(
                f"The servable {servable!r} has the tasks {', '.join(about['tasks'])}. "
                f"Received: {name!r}"
            )
        if not about["task_signatures"]:
            raise UserError(
                "Bulk predictions run a task's own signature. Received: a servable "
                f"without them, {servable!r}; make one with adapters-tf-export "
                "servable and --task_signatures, its default"
            )
        config = about["tasks"][name]["config"]["task"]
        if config.get("kind") not in kinds():
            came = f"the kind {config['kind']!r}" if "kind" in config else "no task"
            raise UserError(
                "Bulk predictions need an adapter that was saved with its task, of one "
                f"of the kinds {', '.join(kinds())}. Received: {name!r}, saved with "
                f"{came}"
            )
        return cls(str(newest.resolve()), f"{name}_text", Task.from_dict(config))


def check_installed() -> None:
    """Check that Apache Beam is installed.

    Raises:
        UserError: if it is missing; names the command that installs it.
    """
    if importlib.util.find_spec("apache_beam") is None:
        raise UserError(
            "Bulk predictions need the package apache-beam, which is not installed. "
            'Run: pip install "adapters-tf[beam]"'
        )
