"""adapters-tf-predict: a saved adapter's predictions for a file of texts."""

import json
import os
from pathlib import Path
from typing import Any

from adapters_tf.bin.adapter_flags import (
    define_adapter_flags,
    open_adapter,
    read_rows,
)
from adapters_tf.bin.program import Groups, require, run
from adapters_tf.errors import UserError


def define() -> Groups:
    """The program's flags."""
    g = Groups(
        "Writes a saved adapter's prediction for each row, one JSON line a row.\n"
        "  adapters-tf-predict --adapter=out/adapter --file=new.csv --output=new.jsonl"
    )
    define_adapter_flags(g, "rows; labels are not read")
    g.group("Output")
    g.string("output", None, "file to write")
    g.boolean("overwrite", False, "replace the output file")
    return g


def main(flags: Any) -> None:
    """Predict and write."""
    require(flags, "adapter", "file", "output")
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
            loaded = open_adapter(flags)
            rows = read_rows(flags, loaded, None)
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
