"""What the jobs of adapters-tf-benchmark share: flags and reports."""

from typing import Any

from adapters_tf.benchmark.report import write_report
from adapters_tf.bin.program import Groups
from adapters_tf.errors import UserError


def value_or_quick(flags: Any, name: str, quick: dict[str, Any]) -> Any:
    """The flag's value; that of `quick` in place of its default with --quick."""
    if flags.quick and not flags[name].present:
        return quick.get(name, flags[name].value)
    return flags[name].value


def whole_numbers(name: str, values: list[str]) -> tuple[int, ...]:
    """A list flag's values as numbers."""
    try:
        return tuple(int(value) for value in values)
    except ValueError:
        raise UserError(
            f"--{name} takes whole numbers with commas between them. Received: "
            f"{','.join(values)}"
        ) from None


def output_flag(g: Groups) -> None:
    """Define --output."""
    g.group("Output")
    g.string("output", None, "JSON file; the tables go beside it, as .md [print only]")


def report(output: str | None, result: dict[str, Any], markdown: str) -> None:
    """Print the tables, and write both files if a name is given."""
    print(f"\n{markdown}", end="")
    if output:
        write_report(output, result, markdown)
