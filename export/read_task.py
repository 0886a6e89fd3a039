"""Read a task for a servable, from its adapter directory or its SavedModel."""

import json
import os

from adapters_tf.errors import UserError
from adapters_tf.export.adapter import task_of_adapter
from adapters_tf.export.bank import ExportedTask
from adapters_tf.export.combine import check_fits, check_same_base, load_exported
from adapters_tf.export.servable import LoadedBase
from adapters_tf.models.adapter import check_exportable
from adapters_tf.models.adapter_file import CONFIG_FILE, load_adapter


def check_is_task(path: str | os.PathLike[str]) -> None:
    """Reject a path that holds no task, before a base is loaded.

    Args:
        path: An adapter directory or an adapter SavedModel.

    Raises:
        UserError: if it is neither, the adapter directory is damaged, or exports do not
            support the adapter (see `check_exportable`).
    """
    if _is_adapter_directory(path):
        check_exportable(load_adapter(path))
    elif not os.path.isfile(os.path.join(path, "saved_model.pb")):
        raise UserError(
            "A task of a servable is an adapter directory, such as that of "
            "adapters-tf-train, or an adapter SavedModel, from adapters-tf-export "
            f"adapter. Received: {os.fspath(path)!r}, which has no {CONFIG_FILE} and "
            "no saved_model.pb."
        )


def read_task(base: LoadedBase, path: str | os.PathLike[str]) -> ExportedTask:
    """Read a task for a base, without loading the base into Keras.

    Args:
        base: The servable's base.
        path: An adapter directory or an adapter SavedModel.

    Raises:
        UserError: see `check_is_task`.
        AdapterFileError: if the adapter is for another base, or its tensors are not
            exactly those of its form.
    """
    name = f"The one in {os.fspath(path)!r}"
    check_is_task(path)
    if _is_adapter_directory(path):
        adapter = load_adapter(path)
        check_same_base(base.config["fingerprint"], adapter.base_fingerprint, name)
        return task_of_adapter(adapter, base.layout)
    saved_model = load_exported(path, "adapter")
    check_fits(base.model, saved_model, name)
    config = json.loads(saved_model.config().numpy())
    return ExportedTask.from_saved_model(config, saved_model)


def _is_adapter_directory(path: str | os.PathLike[str]) -> bool:
    return os.path.isfile(os.path.join(path, CONFIG_FILE))
