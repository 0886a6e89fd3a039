"""adapters-tf-inspect: what an adapter directory holds, and how two differ.

The file is not named inspect.py, which would hide Python's module `inspect` when it
runs as a script.
"""

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

from adapters_tf.bin.program import Groups, require, run

if TYPE_CHECKING:
    from adapters_tf.tools import AdapterDiff, AdapterSummary


def define() -> Groups:
    """The program's flags."""
    g = Groups(
        "Prints what an adapter directory holds, or how two differ. Reads the whole\n"
        "directory and checks its tensors; does not load the base.\n"
        "  adapters-tf-inspect --adapter=out/adapter"
    )
    g.group("Input")
    g.string("adapter", None, "adapter directory")
    g.string("other", None, "another adapter directory, to compare with")
    g.group("Output")
    g.boolean("tensors", False, "list the tensors")
    g.boolean("json", False, "print JSON")
    return g


def main(flags: Any) -> None:
    """Read and print."""
    require(flags, "adapter")
    from adapters_tf.models.adapter_file import load_adapter
    from adapters_tf.tools import diff_adapters, inspect_adapter

    if flags.other:
        diff = diff_adapters(load_adapter(flags.adapter), load_adapter(flags.other))
        text = _diff_text(diff)
        value = _diff_json(diff)
    else:
        summary = inspect_adapter(flags.adapter)
        text = _summary_text(summary, flags.tensors)
        value = summary.to_dict()
    print(json.dumps(value, indent=2) if flags.json else text)


def _summary_text(summary: "AdapterSummary", tensors: bool) -> str:
    """Format an adapter directory as aligned text.

    Args:
        summary: The directory.
        tensors: Whether to list the tensors.
    """
    f = summary.fields
    task = f["task"]
    lines = _aligned(
        [
            ("adapter", summary.directory),
            ("task", f"{task.get('name', '-')}, {f['kind'].replace('_', ' ')}"),
            ("labels", ", ".join(task.get("labels", ())) or "-"),
            ("text columns", ", ".join(task.get("text_columns", ())) or "-"),
            ("metrics", _metrics(f["metrics"])),
            ("tuning", _tuning(f["tuning"])),
            ("adapters", _adapters(f["adapter"])),
            ("head", ", ".join(f"{k}={v}" for k, v in f["head"].items()) or "-"),
            ("base", f["preset"] or "-"),
            ("fingerprint", f["base_fingerprint"] or "-"),
            ("seq_length", str(f["seq_length"])),
            ("versions", ", ".join(f"{k} {v}" for k, v in f["versions"].items())),
        ]
    )
    lines += ["", f"{summary.parameters:,} parameters:"]
    lines += _aligned([(f"  {k}", f"{n:,}") for k, n in summary.parts.items()], True)
    lines += ["", "Files; the tensors are those that were saved:"]
    for name, file in summary.files.items():
        lines.append(f"  {name}  {file.bytes:,} bytes  sha256:{file.sha256}")
    if tensors:
        lines += ["", "Tensors:"]
        shapes = summary.shapes.items()
        lines += _aligned([(f"  {path}", str(list(shape))) for path, shape in shapes])
    return "\n".join(lines)


def _metrics(metrics: dict[str, float]) -> str:
    return ", ".join(f"{k} {v:.4f}" for k, v in metrics.items()) or "-"


def _tuning(tuning: dict[str, Any]) -> str:
    return " ".join(
        str(v) for v in (tuning["method"], tuning["top_n"]) if v is not None
    )


def _adapters(config: dict[str, Any] | None) -> str:
    if config is None:
        return "none"
    given = {k: v for k, v in config.items() if v not in (None, False)}
    return ", ".join(
        f"{k}={'+'.join(map(str, v)) if isinstance(v, list | tuple) else v}"
        for k, v in given.items()
    )


def _aligned(rows: list[tuple[str, str]], right: bool = False) -> list[str]:
    first = max((len(row[0]) for row in rows), default=0)
    second = max((len(row[1]) for row in rows), default=0) if right else 0
    return [f"{a:<{first}}  {b:>{second}}".rstrip() for a, b in rows]


def _diff_text(diff: "AdapterDiff") -> str:
    """Format the differences between two adapters as text."""
    lines = []
    for name, (one, other) in diff.fields.items():
        lines.append(f"{name}: {json.dumps(one)} -> {json.dumps(other)}")
    lines += [f"only the first: {path}" for path in diff.only_first]
    lines += [f"only the second: {path}" for path in diff.only_second]
    for path, (one, other) in diff.misshapen.items():
        lines.append(f"{path}: {list(one)} -> {list(other)}")
    if diff.same_tensors:
        return "\n".join([*lines, "The tensors are equal to the bit."])
    rows = [("part", "parameters", "largest difference", "of the first's norm")]
    for part in diff.parts:
        relative = f"{part.relative:.2%}" if math.isfinite(part.relative) else "-"
        cells = (part.part, f"{part.parameters:,}", f"{part.largest:.3g}", relative)
        rows.append(cells)
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for name, *numbers in rows:
        padded = [n.rjust(w) for n, w in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *padded]))
    return "\n".join(lines)


def _diff_json(diff: "AdapterDiff") -> dict[str, Any]:
    """Return the differences as JSON values; infinite relative ones are null."""
    value = dataclasses.asdict(diff)
    for part in value["parts"]:
        if not math.isfinite(part["relative"]):
            part["relative"] = None
    return value | {"same_tensors": diff.same_tensors}


def cli() -> None:
    """Entry point of `adapters-tf-inspect`."""
    run(define(), main, interrupted="nothing was changed")


if __name__ == "__main__":
    cli()
