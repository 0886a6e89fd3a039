"""adapters-tf-predict: saved adapters' predictions for a file of texts."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters_tf.bin.flags import (
    FORMAT_FLAGS,
    cache_config,
    define_adapter_flags,
    define_cache_flags,
    open_adapter,
    stream_rows,
)
from adapters_tf.bin.program import Groups, require, run
from adapters_tf.data.examples import Examples
from adapters_tf.errors import UserError
from adapters_tf.training.predict_file import (
    PredictionFile,
    UnchangedRows,
    file_version,
    require_new,
)
from adapters_tf.training.predict_texts import AdaptersTogether, LoadedAdapter
from adapters_tf.training.prefix_cache import PrefixCache

_BATCHES_PER_WINDOW = 64
_Predict = Callable[[Any], list[dict[str, Any]]]


def define() -> Groups:
    """The program's flags."""
    g = Groups(
        "Writes a saved adapter's prediction for each row, one JSON line a row.\n"
        "  adapters-tf-predict --adapter=out/adapter --file=new.csv \\\n"
        "      --output=new.jsonl\n"
        "Several adapters of one base share the frozen blocks below them:\n"
        "  adapters-tf-predict --adapter=mood=a/adapter,topic=b/adapter ..."
    )
    define_adapter_flags(g, "rows; labels are not read, texts may be empty")
    define_cache_flags(g, "off", ("off", "disk"))
    g.group("Output")
    g.string("output", None, "file to write")
    g.boolean("overwrite", False, "replace the output file")
    return g


def main(flags: Any) -> None:
    """Predict and write."""
    require(flags, "adapter", "file", "output")
    output = Path(flags.output)
    require_new(output, flags.overwrite, Path(flags.file))
    directories = named_adapters(flags.adapter)
    if directories == {flags.adapter: flags.adapter}:
        predict, loaded = _predict_one(flags)
    else:
        predict, loaded = _predict_together(flags, directories)
    rows = UnchangedRows(flags.file, lambda: stream_rows(flags, loaded))
    settings = {
        "file": rows.version,
        "adapters": {
            name: [file_version(p) for p in sorted(Path(directory).iterdir())]
            for name, directory in directories.items()
        },
        **{name: flags[name].value for name in ("preset", "batch_size", *FORMAT_FLAGS)},
    }
    window = _BATCHES_PER_WINDOW * flags.batch_size
    PredictionFile(output, settings, window, flags.overwrite).write(rows, predict)
    print(f"{len(rows)} predictions in {flags.output}")


def _predict_one(flags: Any) -> tuple[_Predict, LoadedAdapter]:
    cache = None
    if flags.cache != "off":
        cache = PrefixCache(cache_config(flags), show=False)
    loaded = open_adapter(flags, cache)
    return loaded.predictions, loaded


def _predict_together(
    flags: Any, directories: dict[str, str]
) -> tuple[_Predict, LoadedAdapter]:
    """Predict with several adapters; each row's record has all predictions."""
    if flags.cache != "off":
        raise UserError(
            "Several adapters share what frozen blocks compute by themselves: give "
            f"--cache=off with them. Received: --cache={flags.cache}"
        )

    @functools.cache
    def together() -> AdaptersTogether:
        found = AdaptersTogether(directories, flags.preset, flags.batch_size)
        print(f"blocks computed once for all: {found.num_shared_blocks}", flush=True)
        return found

    def predict(rows: Examples) -> list[dict[str, Any]]:
        found = together().predictions(rows)
        return [
            dict(zip(found, records, strict=True))
            for records in zip(*found.values(), strict=True)
        ]

    # Check the rows and the directories before loading a base.
    loaded = [
        LoadedAdapter(path, flags.preset, flags.batch_size)
        for path in directories.values()
    ]
    return predict, loaded[0]


def named_adapters(text: str) -> dict[str, str]:
    """Parse `--adapter`: `DIRECTORY` or `NAME=DIRECTORY`, separated by commas.

    Returns:
        The directories by name; an unnamed directory uses its path as the name.

    Raises:
        UserError: if two adapters have the same name.
    """
    if os.path.exists(text):
        return {text: text}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    pairs = [
        (part, part) if os.path.exists(part) else (p[0], p[-1])
        for part in parts
        for p in [part.split("=", 1)]
    ]
    if len(dict(pairs)) < len(pairs):
        raise UserError(
            "Each adapter needs a name of its own, as in --adapter=a=DIR,b=DIR. "
            f"Received: --adapter={text}"
        )
    return dict(pairs)


def cli() -> None:
    """Entry point of `adapters-tf-predict`."""
    run(define(), main)


if __name__ == "__main__":
    cli()
