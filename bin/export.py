"""adapters-tf-export: SavedModels of a base and its tasks, and servables of them."""

import logging

from adapters_tf.bin import export_new, export_versions
from adapters_tf.bin.program import SubJob, run_sub_jobs

_USAGE = (
    "Writes SavedModels for TensorFlow Serving and for any TensorFlow program.\n"
    "  adapters-tf-export base --preset=demo --output_dir=B\n"
    "  adapters-tf-export servable --base=B --adapters=mytask=out/adapter "
    "--output_dir=S"
)

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
        export_versions.define_add,
        export_versions.add,
    ),
    SubJob(
        "remove",
        "the servable without a task",
        export_versions.define_remove,
        export_versions.remove,
    ),
    SubJob(
        "rollback",
        "an earlier version again",
        export_versions.define_rollback,
        export_versions.rollback,
    ),
    SubJob(
        "list",
        "what a servable holds",
        export_versions.define_list,
        export_versions.show,
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
