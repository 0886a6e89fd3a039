"""The jobs of adapters-tf-export that write something new."""

import shlex
from pathlib import Path
from typing import Any

from adapters_tf.bin.program import Groups, require
from adapters_tf.errors import UserError

# === base ===


def define_base() -> Groups:
    """The flags of `base`."""
    g = Groups(
        "Writes the base SavedModel of a preset, which all of its tasks share.\n"
        "  adapters-tf-export base --preset=demo --output_dir=B"
    )
    g.group("Base")
    g.string("preset", "demo", "keras-hub preset, handle, directory, or `demo`")
    g.integer("seq_length", 128, "tokens that its preprocessor packs texts to")
    g.group("Output")
    g.string("output_dir", None, "new directory")
    return g


def base(flags: Any) -> None:
    """Write a base SavedModel."""
    require(flags, "preset", "output_dir")
    from adapters_tf.bin.export_text import CHECKED, disk_size, flag, say_next, timed
    from adapters_tf.export import export_base

    output = flags.output_dir
    with timed(f"Writing the base of {flags.preset!r} to {output}") as done:
        export_base(flags.preset, output, flags.seq_length)
        done(f"{output}: {disk_size(output)}, {CHECKED}")
    say_next(
        "Then a servable of a task that was trained on it, under a name of your choice",
        "adapters-tf-export servable",
        flag("base", output),
        "--adapters=mytask=adapters-tf-run/adapter",
        "--output_dir=S",
    )


# === adapter ===


def define_adapter() -> Groups:
    """The flags of `adapter`."""
    g = Groups(
        "Writes the adapter SavedModel of a trained task, for TensorFlow programs.\n"
        "  adapters-tf-export adapter --adapter=out/adapter --output_dir=A"
    )
    g.group("Adapter")
    g.string("adapter", None, "adapter directory, such as that of adapters-tf-train")
    g.string("preset", None, "where the base is [where training loaded it]")
    g.group("Output")
    g.string("output_dir", None, "new directory")
    return g


def adapter(flags: Any) -> None:
    """Write an adapter SavedModel."""
    require(flags, "adapter", "output_dir")
    from adapters_tf.bin.export_text import CHECKED, disk_size, say_next, timed
    from adapters_tf.export import export_adapter

    output = flags.output_dir
    with timed(f"Writing the task of {flags.adapter} to {output}") as done:
        export_adapter(flags.adapter, output, flags.preset)
        done(f"{output}: {disk_size(output)}, {CHECKED}")
    say_next(
        "In any TensorFlow program",
        f"task = tf.saved_model.load({output!r})",
    )


# === servable ===


def define_servable() -> Groups:
    """The flags of `servable`."""
    g = Groups(
        "Writes a servable for TensorFlow Serving: a base and any number of tasks.\n"
        "  adapters-tf-export servable --base=B --output_dir=S \\\n"
        "      --adapters=sst2=sst2/adapter,stsb=stsb/adapter\n"
        "With --live, tasks are files that a running server reads as soon as `add`\n"
        "has written them."
    )
    g.group("Parts")
    g.string("base", None, "base SavedModel")
    g.strings(
        "adapters", None, "name=adapter directory (or SavedModel), with commas between"
    )
    g.boolean("task_signatures", True, "signatures for each task, beside mixed_text")
    g.boolean(
        "live", False, "tasks can be files in tasks/; all are called by mixed_text"
    )
    g.string(
        "embedding", None, "vector of rows without a task: cls, pooled or mean [none]"
    )
    g.group("Output")
    g.string("output_dir", None, "new directory")
    return g


def servable(flags: Any) -> None:
    """Write a servable."""
    require(flags, "base", *([] if flags.live else ["adapters"]), "output_dir")
    adapters = parse_adapters(flags.adapters or [])
    from adapters_tf.bin.export_text import CHECKED, disk_size, flag, say_next, timed
    from adapters_tf.export import create_servable

    output = flags.output_dir
    names = ", ".join(adapters) if len(adapters) < 9 else f"{len(adapters)} tasks"
    with timed(f"Writing the servable of {names or 'live tasks'} to {output}") as done:
        create_servable(
            flags.base,
            adapters,
            output,
            task_signatures=flags.task_signatures,
            live=flags.live,
            embedding=flags.embedding,
        )
        done(f"{output}, version 1: {disk_size(output)}, {CHECKED}")
    if flags.live:
        say_next(
            "Add a task, which a running server answers for at once",
            "adapters-tf-export add",
            flag("servable", output),
            "--name=mytask --adapter=adapters-tf-run/adapter",
        )
    say_next("Serve it here", "adapters-tf-serve", flag("servable", output))
    say_next(
        "Or write the files for TensorFlow Serving",
        "adapters-tf-export deployment",
        flag("servable", output),
        "--output_dir=D",
    )


def parse_adapters(entries: list[str]) -> dict[str, str]:
    """Parse `name=directory` entries to task name -> directory.

    Raises:
        UserError: if an entry is not such a pair, or a name repeats.
    """
    adapters: dict[str, str] = {}
    for entry in entries:
        name, _, path = entry.partition("=")
        if not name or not path:
            raise UserError(
                "--adapters must be name=directory, with commas between. Received: "
                f"{entry!r} in {','.join(entries)!r}"
            )
        if name in adapters:
            raise UserError(f"--adapters names the task {name!r} twice.")
        adapters[name] = path
    return adapters


# === deployment ===


def define_deployment() -> Groups:
    """The flags of `deployment`."""
    g = Groups(
        "Writes the files to serve a servable with the stock TensorFlow Serving.\n"
        "  adapters-tf-export deployment --servable=S --output_dir=D"
    )
    g.group("Servable")
    g.string("servable", None, "servable")
    g.string("model_name", "adapters", "name in URLs and requests")
    g.group("Output")
    g.string("output_dir", None, "new directory")
    g.boolean("overwrite", False, "replace deployment files in output_dir")
    return g


def deployment(flags: Any) -> None:
    """Write deployment files."""
    require(flags, "servable", "model_name", "output_dir")
    from adapters_tf.bin.export_text import say_next, timed
    from adapters_tf.export import write_deployment

    output, name = flags.output_dir, flags.model_name
    with timed(f"Writing the files to serve {flags.servable} to {output}") as done:
        write_deployment(flags.servable, output, name, overwrite=flags.overwrite)
        done(f"{output}: {', '.join(sorted(p.name for p in Path(output).iterdir()))}")
    say_next(
        "Start TensorFlow Serving, and ask it",
        f"cd {shlex.quote(output)} && docker compose up -d --wait",
        "&& python client_rest.py",
    )
