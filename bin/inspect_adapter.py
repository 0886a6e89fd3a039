"""adapters-tf-inspect: what an adapter directory holds, and how two differ.

Not inspect.py: run as a file, it would hide the module of that name from Python.
"""

import json
from typing import Any

from adapters_tf.bin.program import Groups, require, run


def define() -> Groups:
    """The program's flags."""
    g = Groups(
        "Says what an adapter directory holds, or in what two differ. They are read\n"
        "whole and their tensors checked; the base is not loaded.\n"
        "  adapters-tf-inspect --adapter=out/adapter"
    )
    g.group("Input")
    g.string("adapter", None, "adapter directory")
    g.string("other", None, "another one, to compare it with")
    g.group("Output")
    g.boolean("tensors", False, "list the tensors")
    g.boolean("json", False, "print JSON")
    return g


def main(flags: Any) -> None:
    """Read and print."""
    require(flags, "adapter")
    from adapters_tf.bin import inspect_text
    from adapters_tf.models.adapter_file import load_adapter
    from adapters_tf.tools import diff_adapters, inspect_adapter

    if flags.other:
        diff = diff_adapters(load_adapter(flags.adapter), load_adapter(flags.other))
        text = inspect_text.diff_text(diff)
        value = inspect_text.diff_json(diff)
    else:
        summary = inspect_adapter(flags.adapter)
        text = inspect_text.summary_text(summary, flags.tensors)
        value = summary.to_dict()
    print(json.dumps(value, indent=2) if flags.json else text)


def cli() -> None:
    """Entry point of `adapters-tf-inspect`."""
    run(define(), main, interrupted="nothing was changed")


if __name__ == "__main__":
    cli()
