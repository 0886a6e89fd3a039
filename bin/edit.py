"""adapters-tf-edit: new adapters from trained ones."""

from typing import Any

from adapters_tf.bin.program import Groups, SubJob, require, run_sub_jobs
from adapters_tf.errors import UserError

_USAGE = (
    "Makes new adapters from trained ones of one base, without training.\n"
    "  adapters-tf-edit average --adapters=s0/adapter,s1/adapter --output_dir=A\n"
    "  adapters-tf-edit prune --adapter=out/adapter --layers=0,1 --output_dir=A"
)


def _define_output(g: Groups) -> None:
    g.group("Output")
    g.string("output_dir", None, "adapter directory")
    g.boolean("overwrite", False, "replace the adapter in output_dir")


def _save(flags: Any, adapter: Any) -> None:
    from adapters_tf.models.adapter_file import save_adapter
    from adapters_tf.models.model_card import evaluate_command

    save_adapter(adapter, flags.output_dir, flags.overwrite)
    parameters = sum(value.size for value in adapter.tensors.values())
    print(f"{flags.output_dir}: {parameters:,} parameters")
    print(f"\nIts metrics:\n  {evaluate_command(adapter, flags.output_dir)}")


def _numbers(name: str, values: list[str] | None, kind: type) -> list[Any] | None:
    try:
        return [kind(value) for value in values] if values else None
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise UserError(
            f"--{name} takes {what} with commas between them. Received: "
            f"{','.join(values or ())}"
        ) from None


# === average ===


def define_average() -> Groups:
    """The flags of `average`."""
    g = Groups(
        "Averages adapters of one base, form and task, for example of several seeds.\n"
        "  adapters-tf-edit average --adapters=s0/adapter,s1/adapter --output_dir=A"
    )
    g.group("Input")
    g.strings("adapters", None, "adapter directories")
    g.strings("weights", None, "a number for each adapter, with a sum of 1 [all equal]")
    _define_output(g)
    return g


def average(flags: Any) -> None:
    """Average adapters."""
    require(flags, "adapters", "output_dir")
    weights = _numbers("weights", flags.weights, float)
    from adapters_tf.models.adapter_file import load_adapter
    from adapters_tf.tools import average_adapters

    _save(flags, average_adapters([load_adapter(d) for d in flags.adapters], weights))


# === interpolate ===


def define_interpolate() -> Groups:
    """The flags of `interpolate`."""
    g = Groups(
        "Takes a point on the line between two adapters of one base, form and task.\n"
        "  adapters-tf-edit interpolate --adapter=A --other=B --share=0.3 "
        "--output_dir=C"
    )
    g.group("Input")
    g.string("adapter", None, "adapter directory, where share is 0")
    g.string("other", None, "adapter directory, where share is 1")
    g.number("share", 0.5, "from 0 to 1")
    _define_output(g)
    return g


def interpolate(flags: Any) -> None:
    """Interpolate between two adapters."""
    require(flags, "adapter", "other", "output_dir")
    from adapters_tf.models.adapter_file import load_adapter
    from adapters_tf.tools import interpolate_adapters

    first, second = load_adapter(flags.adapter), load_adapter(flags.other)
    _save(flags, interpolate_adapters(first, second, flags.share))


# === prune ===


def define_prune() -> Groups:
    """The flags of `prune`."""
    g = Groups(
        "Removes the adapters of some blocks: the least important ones by an\n"
        "ablation, or those that you name.\n"
        "  adapters-tf-edit prune --adapter=out/adapter --ablation=a.json --count=4 "
        "--output_dir=A"
    )
    g.group("Input")
    g.string("adapter", None, "adapter directory")
    g.group("Blocks")
    g.string("ablation", None, "JSON file of adapters-tf-ablate layers")
    g.integer("count", None, "number of blocks to prune, with an ablation")
    g.strings("layers", None, "or the blocks themselves, from 0")
    _define_output(g)
    return g


def prune(flags: Any) -> None:
    """Prune an adapter."""
    require(flags, "adapter", "output_dir")
    layers = _numbers("layers", flags.layers, int)
    if bool(layers) == bool(flags.ablation) or (
        bool(flags.ablation) != (flags.count is not None)
    ):
        raise UserError("Give --ablation and --count, or --layers. See --help.")
    from adapters_tf.models.adapter_file import load_adapter
    from adapters_tf.study.ablation import read_ablations
    from adapters_tf.tools import least_important_layers, prune_adapter

    adapter = load_adapter(flags.adapter)
    if layers is None:
        (ablation,) = read_ablations([flags.ablation])
        layers = list(least_important_layers(adapter, ablation, flags.count))
        for i in layers:
            alone = ablation.without[i, i]
            change = f"{ablation.full:.4f} -> {alone:.4f}"
            print(f"block {i}: {ablation.metric} {change} without its adapters alone")
    pruned = prune_adapter(adapter, layers)
    print(f"Without the adapters of block {', '.join(map(str, layers))}:")
    _save(flags, pruned)


JOBS = (
    SubJob("average", "the mean of adapters", define_average, average),
    SubJob(
        "interpolate", "a point between two adapters", define_interpolate, interpolate
    ),
    SubJob(
        "prune", "an adapter without the adapters of some blocks", define_prune, prune
    ),
)


def cli() -> None:
    """Entry point of `adapters-tf-edit`."""
    # Output directories are written atomically.
    run_sub_jobs(_USAGE, JOBS, interrupted="nothing was written")


if __name__ == "__main__":
    cli()
