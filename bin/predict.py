"""adapters-tf-predict: a saved adapter's predictions for a file of texts."""

import json
import os
from pathlib import Path
from typing import Any

from adapters_tf.bin.data_flags import define_format_flags, file_format
from adapters_tf.bin.program import Groups, run
from adapters_tf.errors import UserError
from adapters_tf.training.predict_texts import LoadedAdapter


def define() -> Groups:
    """The program's flags."""
    g = Groups(
        "Writes a saved adapter's prediction for each row, one JSON line a row.\n"
        "  adapters-tf-predict --adapter=out/adapter --file=new.csv --output=new.jsonl"
    )
    g.group("Adapter")
    g.string("adapter", None, "adapter directory")
    g.string("preset", None, "where the base is [where training loaded it]")
    g.group("File (.csv, .tsv, .jsonl; SQuAD .json for questions)")
    g.string("file", None, "rows; labels are not read")
    define_format_flags(g, None)
    g.group("Output")
    g.string("output", None, "file to write")
    g.boolean("overwrite", False, "replace the output file")
    g.integer("batch_size", 64, "rows of a batch")
    return g


def main(flags: Any) -> None:
    """Predict and write."""
    for name in ("adapter", "file", "output"):
        if not flags[name].value:
            raise UserError(f"--{name} is needed. See --help.")
    output = Path(flags.output)
    if output.exists() and not flags.overwrite:
        raise UserError(
            f"--output must be a new file. {flags.output!r} exists; give --overwrite "
            "to replace it."
        )
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        # Opened before the long work, so that a place that cannot be written
        # is known at once.
        with open(temporary, "w", encoding="utf-8") as f:
            loaded = LoadedAdapter(flags.adapter, flags.preset, flags.batch_size)
            if not flags.text_columns:
                flags.text_columns = list(loaded.task.text_columns)
            rows = loaded.read(flags.file, file_format(flags, None))
            for record in loaded.predictions(rows):
                f.write(json.dumps(record, ensure_ascii=False) + "\n")
        os.replace(temporary, output)
    except OSError as error:
        raise UserError(
            f"--output {flags.output!r} could not be written: {error.strerror}"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    print(f"{len(rows)} predictions in {flags.output}")


def cli() -> None:
    """Entry point of `adapters-tf-predict`."""
    run(define(), main)


if __name__ == "__main__":
    cli()
