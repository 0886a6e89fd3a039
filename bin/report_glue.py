"""The job of adapters-tf-report that writes a submission to GLUE's server."""

from typing import Any

from adapters_tf.bin.export_new import parse_adapters
from adapters_tf.bin.program import Groups, require


def define() -> Groups:
    """The flags of `glue`."""
    g = Groups(
        "Predicts GLUE's test sets with saved adapters and writes the files that its "
        "server takes.\n"
        "  adapters-tf-report glue --adapters=cola=out/cola/adapter,sst2=out/sst2/"
        "adapter \\\n      --data_dir=glue_data --output_dir=submission"
    )
    g.group("Adapters")
    g.strings("adapters", None, "task=adapter directory, with commas between")
    g.string("preset", None, "where the base is [where training loaded it]")
    g.integer("batch_size", 64, "rows of a batch")
    g.group("Test sets")
    g.string("data_dir", None, "folder with the public files of GLUE")
    g.boolean("fill_missing", False, "a constant prediction for tasks without adapter")
    g.group("Output")
    g.string("output_dir", None, "directory of the files")
    g.boolean("zip", False, "submission.zip too, which needs all tasks")
    g.boolean("overwrite", False, "replace the files of an earlier submission")
    return g


def main(flags: Any) -> None:
    """Predict and write. What is missing is logged."""
    require(flags, "adapters", "data_dir", "output_dir")
    adapters = parse_adapters(flags.adapters)
    from adapters_tf.study.glue_submission import write_glue_submission

    files = write_glue_submission(
        adapters,
        flags.data_dir,
        flags.output_dir,
        flags.preset,
        flags.batch_size,
        fill_missing=flags.fill_missing,
        archive=flags.zip,
        overwrite=flags.overwrite,
    )
    print(f"{len(files)} files in {flags.output_dir}:")
    for file in files:
        print(f"  {file.name}")
