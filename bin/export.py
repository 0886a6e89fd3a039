"""adapters-tf-export: SavedModels of a base and its tasks, and servables of them."""

import logging
from pathlib import Path
from typing import Any

from adapters_tf.bin import export_new
from adapters_tf.bin.program import Groups, SubJob, require, run_sub_jobs

_USAGE = (
    "Writes SavedModels for TensorFlow Serving and for any TensorFlow program.\n"
    "  adapters-tf-export base --preset=demo --output_dir=B\n"
    "  adapters-tf-export servable --base=B --adapters=mytask=out/adapter "
    "--output_dir=S"
)

# === add, remove, rollback ===


def _define_change(usage: str) -> Groups:
    g = Groups(usage)
    g.group("Servable")
    g.string("servable", None, "servable, which gets a new version unless it is live")
    return g


def define_add() -> Groups:
    """The flags of `add`."""
    g = _define_change(
        "Writes a new version with one more task, or the file of a live task.\n"
        "  adapters-tf-export add --servable=S --name=stsb --adapter=out/adapter"
    )
    g.group("Task")
    g.string("name", None, "its name, which is that of its signatures")
    g.string("adapter", None, "adapter directory (or adapter SavedModel)")
    g.boolean("replace", False, "replace the task of this name")
    return g


def add(flags: Any) -> None:
    """Add or replace a task."""
    require(flags, "servable", "name", "adapter")
    from adapters_tf.bin.export_text import CHECKED, timed
    from adapters_tf.export import add_task

    verb = "Replacing" if flags.replace else "Adding"
    with timed(f"{verb} the task {flags.name} of {flags.servable}") as done:
        version = add_task(flags.servable, flags.name, flags.adapter, flags.replace)
        live = _live_file(flags)
        done(f"{live}" if live else f"{_version_dir(flags, version)}, {CHECKED}")
    _say_after_change(flags, None if live else version)


def define_remove() -> Groups:
    """The flags of `remove`."""
    g = _define_change(
        "Writes a new version without a task, or removes the file of a live task.\n"
        "  adapters-tf-export remove --servable=S --name=stsb"
    )
    g.group("Task")
    g.string("name", None, "its name")
    return g


def remove(flags: Any) -> None:
    """Remove a task."""
    require(flags, "servable", "name")
    from adapters_tf.bin.export_text import CHECKED, timed
    from adapters_tf.export import remove_task

    with timed(f"Removing the task {flags.name} of {flags.servable}") as done:
        live = _live_file(flags)
        version = remove_task(flags.servable, flags.name)
        done(f"{live}" if live else f"{_version_dir(flags, version)}, {CHECKED}")
    _say_after_change(flags, None if live else version)


def define_rollback() -> Groups:
    """The flags of `rollback`."""
    g = _define_change(
        "Makes an earlier version the newest again, under a new number.\n"
        "  adapters-tf-export rollback --servable=S"
    )
    g.integer("to", None, "version [the one before the newest]")
    return g


def rollback(flags: Any) -> None:
    """Roll back."""
    require(flags, "servable")
    from adapters_tf.bin.export_text import timed
    from adapters_tf.export import roll_back

    to = "the version before the newest" if flags.to is None else f"version {flags.to}"
    with timed(f"Rolling {flags.servable} back to {to}") as done:
        version = roll_back(flags.servable, flags.to)
        done(f"{_version_dir(flags, version)}: the same files under a new number")
    _say_after_change(flags, version)


def _version_dir(flags: Any, version: int) -> str:
    return str(Path(flags.servable, str(version)))


def _live_file(flags: Any) -> Path | None:
    """Return the file of the live task of this name, if servers answer with it."""
    from adapters_tf.export.describe import read_newest
    from adapters_tf.export.task_folder import task_path

    path = task_path(Path(flags.servable), flags.name)
    is_fixed = flags.name in read_newest(flags.servable)["tasks"]
    return path if path.exists() and not is_fixed else None


def _say_after_change(flags: Any, version: int | None) -> None:
    from adapters_tf.bin.export_text import flag, say_next

    if version is None:
        print(f"Servers of {flags.servable} use this from the next request on.")
    else:
        print(f"A server that watches {flags.servable} goes over to version {version}.")
    say_next(
        "What it holds now",
        "adapters-tf-export list",
        flag("servable", flags.servable),
    )


# === list ===


def define_list() -> Groups:
    """The flags of `list`."""
    g = Groups("Prints what a servable holds.\n  adapters-tf-export list --servable=S")
    g.group("Servable")
    g.string("servable", None, "servable")
    return g


def show(flags: Any) -> None:
    """Print the content of a servable."""
    require(flags, "servable")
    from adapters_tf.bin.export_text import servable_text
    from adapters_tf.export import describe_servable

    print(servable_text(flags.servable, describe_servable(flags.servable)))


# === verify ===


def define_verify() -> Groups:
    """The flags of `verify`."""
    g = Groups(
        "Reads a servable's weights and tasks, and checks every checksum.\n"
        "  adapters-tf-export verify --servable=S"
    )
    g.group("Servable")
    g.string("servable", None, "servable")
    return g


def verify(flags: Any) -> None:
    """Verify a servable."""
    require(flags, "servable")
    from adapters_tf.bin.export_text import timed
    from adapters_tf.export import verify_servable

    with timed(f"Reading all of {flags.servable}") as done:
        found = verify_servable(flags.servable)
        done(
            f"Nothing is damaged: versions {found.versions}, tasks in them "
            f"{found.tasks}, live tasks {found.live_tasks}"
        )


# === All jobs ===

JOBS = (
    SubJob(
        "base",
        "a preset's base SavedModel",
        export_new.define_base,
        export_new.base,
    ),
    SubJob(
        "adapter",
        "a trained task's adapter SavedModel, for TensorFlow programs",
        export_new.define_adapter,
        export_new.adapter,
    ),
    SubJob(
        "servable",
        "a base and tasks in one servable",
        export_new.define_servable,
        export_new.servable,
    ),
    SubJob(
        "add",
        "one more task, or another for its name",
        define_add,
        add,
    ),
    SubJob(
        "remove",
        "the servable without a task",
        define_remove,
        remove,
    ),
    SubJob(
        "rollback",
        "an earlier version again",
        define_rollback,
        rollback,
    ),
    SubJob(
        "list",
        "what a servable holds",
        define_list,
        show,
    ),
    SubJob(
        "verify",
        "whether a servable is intact",
        define_verify,
        verify,
    ),
    SubJob(
        "deployment",
        "files, clients and commands for TensorFlow Serving",
        export_new.define_deployment,
        export_new.deployment,
    ),
)


def cli() -> None:
    """Entry point of `adapters-tf-export`."""
    # Hide notes on written assets and on the deprecated session loader.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Output directories are written atomically.
    run_sub_jobs(_USAGE, JOBS, interrupted="nothing was written")


if __name__ == "__main__":
    cli()
