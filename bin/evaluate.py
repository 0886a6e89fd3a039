"""adapters-tf-evaluate: a saved adapter's metrics on a labelled file."""

from pathlib import Path
from typing import Any

from adapters_tf.bin.environment import quiet_tensorflow

quiet_tensorflow()

from adapters_tf.bin.data_flags import define_format_flags, file_format  # noqa: E402
from adapters_tf.bin.program import Groups, run  # noqa: E402
from adapters_tf.errors import UserError  # noqa: E402
from adapters_tf.training.predict_texts import LoadedAdapter  # noqa: E402
from adapters_tf.training.run_dir import write_json  # noqa: E402


def define() -> Groups:
    """The program's flags."""
    g = Groups(
        "Evaluates a saved adapter on a labelled file.\n"
        "  adapters-tf-evaluate --adapter=out/adapter --file=test.csv "
        "--label_column=label"
    )
    g.group("Adapter")
    g.string("adapter", None, "adapter directory")
    g.string("preset", None, "where the base is [where training loaded it]")
    g.group("File (.csv, .tsv, .jsonl; SQuAD .json for questions)")
    g.string("file", None, "labelled rows")
    define_format_flags(g, None, "label")
    g.group("Output")
    g.string("output", None, "JSON file to write the metrics to [none]")
    g.integer("batch_size", 64, "rows of a batch")
    return g


def main(flags: Any) -> None:
    """Evaluate and print."""
    for name in ("adapter", "file"):
        if not flags[name].value:
            raise UserError(f"--{name} is needed. See --help.")
    if flags.output and Path(flags.output).exists():
        raise UserError(f"--output must be a new file. {flags.output!r} exists.")
    loaded = LoadedAdapter(flags.adapter, flags.preset, flags.batch_size)
    if not flags.text_columns:
        flags.text_columns = list(loaded.task.text_columns)
    rows = loaded.read(flags.file, file_format(flags, flags.label_column))
    metrics = loaded.metrics(rows)
    for name, value in metrics.items():
        print(f"{name:<12}{value:.4f}")
    print(f"{'rows':<12}{len(rows)}")
    if flags.output:
        write_json(Path(flags.output), {"dev": metrics, "rows": len(rows)})


def cli() -> None:
    """Entry point of `adapters-tf-evaluate`."""
    run(define(), main)


if __name__ == "__main__":
    cli()
