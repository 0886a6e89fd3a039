"""Count the parameters a task adds (paper, section 3.2 and table 1)."""

import dataclasses
import math
from typing import Any


@dataclasses.dataclass(frozen=True)
class ParameterCounts:
    """Parameter counts of a model.

    Attributes:
        base: Parameters of the plain backbone.
        adapters: Parameters of the adapters: `2md + d + m` each.
        head: Parameters of the head.
        trained: Parameters that the task trains and its file holds.
    """

    base: int
    adapters: int
    head: int
    trained: int

    def total(self, num_tasks: int) -> float:
        """Return all parameters for this many tasks, relative to one base."""
        return 1 + num_tasks * self.trained / self.base

    def table(self, num_tasks: tuple[int, ...] = (1, 9, 17)) -> str:
        """Return the counts as aligned text.

        Args:
            num_tasks: Numbers of tasks to show totals for; the paper has 9 GLUE tasks
                and 17 additional ones.
        """
        rows = [
            ("base", f"{self.base:,}", "100.00%"),
            ("adapters", f"{self.adapters:,}", f"{self.adapters / self.base:.2%}"),
            ("head", f"{self.head:,}", f"{self.head / self.base:.2%}"),
            (
                "trained for this task",
                f"{self.trained:,}",
                f"{self.trained / self.base:.2%}",
            ),
        ]
        for n in num_tasks:
            name = f"total for {n} task{'s' if n > 1 else ''}"
            total = self.base + n * self.trained
            rows.append((name, f"{total:,}", f"{self.total(n):.2f}x"))
        header = ("", "parameters", "of base")
        widths = [max(len(r[i]) for r in (header, *rows)) for i in range(3)]
        return "\n".join(
            f"{name:<{widths[0]}}  {count:>{widths[1]}}  {share:>{widths[2]}}"
            for name, count, share in (header, *rows)
        )


def count_parameters(model: Any) -> ParameterCounts:
    """Count an `AdapterModel`'s parameters.

    Args:
        model: An `AdapterModel`; its active task is counted.

    Returns:
        The counts; `print(counts.table())` prints them as `adapters-tf-train` does.
    """

    def size(variables: Any) -> int:
        return sum(math.prod(v.shape) for v in variables)

    return ParameterCounts(
        base=size(model.backbone.base_variables()),
        adapters=size(model.backbone.adapter_variables()),
        head=size(model.head_variables()),
        trained=size(model.trainable_variables),
    )
