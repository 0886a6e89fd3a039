"""Join the tensors of many tasks in a few arrays, without padding."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.adapters import DEFAULT_FORM, form_of, full_forms
from adapters_tf.adapters.base import TaskForm
from adapters_tf.adapters.joined import join, spans, split, stack
from adapters_tf.errors import UserError
from adapters_tf.export.task_tensors import NORM
from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.trainable_set import layer_norm_variables
from adapters_tf.tasks.text_kind import BIAS, HIDDEN_BIAS, HIDDEN_KERNEL, KERNEL


@dataclasses.dataclass(frozen=True)
class ExportedTask:
    """A task in the form that a servable holds.

    Attributes:
        config: The adapter SavedModel's `config()`.
        encoder: Its `weights()` as arrays.
        head: Its `head_weights()` as arrays.
    """

    config: dict[str, Any]
    encoder: dict[str, np.ndarray]
    head: dict[str, np.ndarray]

    @property
    def form(self) -> TaskForm:
        """The form in which the encoder's tensors hold the adapters."""
        return form_of(self.config["adapter"])

    @classmethod
    def from_saved_model(cls, config: dict[str, Any], adapter: Any) -> "ExportedTask":
        """Read a task from a loaded adapter SavedModel."""
        encoder = {k: v.numpy() for k, v in adapter.weights().items()}
        head = {k: v.numpy() for k, v in adapter.head_weights().items()}
        return cls(config, encoder, head)


@dataclasses.dataclass(frozen=True)
class BankLayout:
    """The parts of a base that tasks have tensors for.

    Attributes:
        block_paths: Paths of its encoder blocks.
        norm_paths: Paths of its LayerNorms.
        hidden_dim: Hidden size `d`.
        norm_sizes: Path -> size of each LayerNorm whose size is not `d`.
        forms: Names of the supported forms of tasks, besides the default one.
    """

    block_paths: list[str]
    norm_paths: list[str]
    hidden_dim: int
    norm_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    forms: tuple[str, ...] = ()

    @classmethod
    def of_base(cls, config: dict[str, Any]) -> "BankLayout":
        """Return the layout for a base SavedModel.

        Args:
            config: The base's `config()`.
        """
        blocks = dict.fromkeys(p.rsplit("/", 1)[0] for p in config["adapter_paths"])
        return cls(
            list(blocks),
            config["layer_norm_paths"],
            config["hidden_dim"],
            config.get("layer_norm_sizes", {}),
            tuple(config.get("forms", ())),
        )

    @classmethod
    def of_backbone(cls, backbone: AdapterBackbone) -> "BankLayout":
        """Return the layout for a Keras backbone, with or without adapters."""
        inside_adapters = {v.path for v in backbone.adapter_variables()}
        d = backbone.hidden_dim
        sizes = {
            v.path.rsplit("/", 1)[0]: v.shape[0]
            for v in layer_norm_variables(backbone)
            if v.path not in inside_adapters
        }
        return cls(
            [block.path for block in backbone.encoder_blocks],
            list(sizes),
            d,
            {path: size for path, size in sizes.items() if size != d},
            tuple(form.name for form in full_forms()),
        )

    def forms_for(self, tasks: list[ExportedTask]) -> tuple[TaskForm, ...]:
        """Return the forms in which a bank holds these tasks.

        Raises:
            UserError: if the base, written by another version, lacks one of them.
        """
        if all(task.form.name == DEFAULT_FORM.name for task in tasks):
            return (DEFAULT_FORM,)
        for task in tasks:
            self.check_has(task.form)
        forms = full_forms()
        if {form.name for form in forms} != set(self.forms):
            raise UserError(
                "A base and its servables are written by versions of adapters-tf that "
                f"know the same adapters. Received: a base with {self.forms}; export "
                "the base again."
            )
        return forms

    def check_has(self, form: TaskForm) -> None:
        """Reject a form of tasks that the base has no functions for.

        Raises:
            UserError: if the base was written by an older version.
        """
        if form.name not in (DEFAULT_FORM.name, *self.forms):
            raise UserError(
                "A base computes the adapters that adapters-tf knew when it was "
                f"exported. Received: adapters of the form {form.name!r}, and a base "
                f"that has {', '.join((DEFAULT_FORM.name, *self.forms))}; export the "
                "base again."
            )


def build_bank(
    tasks: list[ExportedTask],
    layout: BankLayout,
    forms: tuple[TaskForm, ...] | None = None,
) -> dict[str, np.ndarray]:
    """Join tasks so that each takes only the space of its own tensors.

    Args:
        tasks: T tasks of one base.
        layout: The layout of the base.
        forms: The forms in which the bank holds the tasks; by default
            `layout.forms_for(tasks)`.

    Returns:
        See `BaseFunctions.bank_specs`. Adapters are as in
        `adapters_tf.adapters.joined`. Each LayerNorm has `[1 + own, d]` values and each
        task's `row` `[T]`, 0 for the base's LayerNorm. Heads (`head/...`) have kernels
        `[1 + outputs, d]`, biases `[1 + outputs]` and each task's `offset` and `size`
        `[T]`. If any head has a hidden layer, `head/hidden/...` has kernels
        `[1 + heads, d, d]` and each task's `row` `[T]`, 0 for none.

    Raises:
        UserError: see `BankLayout.forms_for`.
    """
    if not tasks:
        raise ValueError("A bank holds at least one task.")
    bank: dict[str, np.ndarray] = {}
    encoders = [task.encoder for task in tasks]
    for form in forms or layout.forms_for(tasks):
        bank |= join(encoders, form, layout.block_paths, layout.hidden_dim)
    for path in layout.norm_paths:
        # Blocks without an adapter keep the base's LayerNorms.
        own = [encoder[f"{path}/{NORM[0]}"].size > 0 for encoder in encoders]
        bank[f"{path}/row"] = np.where(own, np.cumsum(own), 0).astype(np.int32)
        size = layout.norm_sizes.get(path, layout.hidden_dim)
        for name in NORM:
            rows = [encoder[f"{path}/{name}"].reshape(-1, size) for encoder in encoders]
            bank[f"{path}/{name}"] = stack(rows)
    bank["fingerprint"] = encoders[0]["fingerprint"]
    return bank | _join_heads([task.head for task in tasks])


def blank_task(layout: BankLayout, like: ExportedTask) -> ExportedTask:
    """Return a task that has no tensors, so that the base computes as it is.

    Args:
        layout: The layout of the base.
        like: Any task of the base, for its kind and fingerprint.
    """
    none, d = np.zeros(0, np.float32), layout.hidden_dim
    norms = {f"{path}/{name}": none for path in layout.norm_paths for name in NORM}
    config = {**like.config, "adapter": None, "task": {}, "head": {}}
    encoder = norms | {"fingerprint": like.encoder["fingerprint"]}
    return ExportedTask(
        config, encoder, {KERNEL: np.zeros((d, 0), np.float32), BIAS: none}
    )


def split_bank(
    bank: dict[str, np.ndarray], configs: list[dict[str, Any]], layout: BankLayout
) -> list[ExportedTask]:
    """Recover the tasks that `build_bank` joined, exactly.

    Args:
        bank: From `build_bank`.
        configs: The T tasks' configs.
        layout: As in `build_bank`.
    """
    tasks = []
    for i, config in enumerate(configs):
        form = form_of(config["adapter"])
        encoder = split(bank, i, form, layout.block_paths, layout.hidden_dim)
        encoder["fingerprint"] = bank["fingerprint"]
        for path in layout.norm_paths:
            row = int(bank[f"{path}/row"][i])
            for name in NORM:
                rows = bank[f"{path}/{name}"]
                encoder[f"{path}/{name}"] = rows[row : row + min(row, 1)].reshape(-1)
        tasks.append(ExportedTask(config, encoder, _split_head(bank, i)))
    return tasks


def absent_adapters(
    config: dict[str, Any], values: dict[str, Any], block_paths: list[str], d: int
) -> set[str]:
    """Return the names of tensors at sites where a task has no adapter.

    Args:
        config: The adapter SavedModel's config.
        values: The task's tensors, by name.
        block_paths: Paths of the base's blocks.
        d: Its hidden size.
    """
    form = form_of(config["adapter"])
    return {
        f"{path}/{tensor.name}"
        for path in form.paths(block_paths)
        if form.is_absent(values, path, d)
        for tensor in form.at_site(d)
    }


def hidden_features(bank: dict[str, Any], features: Any, tasks: Any) -> Any:
    """Apply heads' hidden layers, if any, and return their `[B, d]` outputs.

    Args:
        bank: From `build_bank`, as tensors or variables. If no head has a hidden layer,
            the features are returned unchanged.
        features: `[B, d]`.
        tasks: One task's index, or `[B]` indices.
    """
    if "head/hidden/row" not in bank:
        return features
    rows = tf.gather(bank["head/hidden/row"], tasks)
    if rows.shape.rank == 0:
        kernel = tf.gather(bank["head/hidden/kernel"], rows)
        hidden = tf.matmul(features, kernel) + tf.gather(bank["head/hidden/bias"], rows)
        return tf.where(rows > 0, tf.tanh(hidden), features)

    def through_hidden_layers() -> Any:
        own = tf.where(rows > 0)
        of_own = tf.gather(rows, own[:, 0])
        # Kernels are large, so do not fetch those of other rows.
        kernels = tf.gather(bank["head/hidden/kernel"], of_own)
        hidden = tf.matmul(tf.gather_nd(features, own)[:, None, :], kernels)[:, 0]
        hidden += tf.gather(bank["head/hidden/bias"], of_own)
        return tf.tensor_scatter_nd_update(features, own, tf.tanh(hidden))

    return tf.cond(tf.reduce_any(rows > 0), through_hidden_layers, lambda: features)


def _join_heads(heads: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    kernels = [head[KERNEL].T for head in heads]
    offset, size = spans([len(kernel) for kernel in kernels])
    joined = {
        "head/offset": offset,
        "head/size": size,
        "head/kernel": stack(kernels),
        "head/bias": stack([head[BIAS] for head in heads]),
    }
    own = [HIDDEN_KERNEL in head for head in heads]
    if any(own):
        hidden = [head for head in heads if HIDDEN_KERNEL in head]
        joined["head/hidden/row"] = np.where(own, np.cumsum(own), 0).astype(np.int32)
        joined["head/hidden/kernel"] = stack([h[HIDDEN_KERNEL][None] for h in hidden])
        joined["head/hidden/bias"] = stack([h[HIDDEN_BIAS][None] for h in hidden])
    return joined


def _split_head(bank: dict[str, np.ndarray], task: int) -> dict[str, np.ndarray]:
    start = int(bank["head/offset"][task])
    outputs = slice(start, start + int(bank["head/size"][task]))
    head = {KERNEL: bank["head/kernel"][outputs].T, BIAS: bank["head/bias"][outputs]}
    row = int(bank["head/hidden/row"][task]) if "head/hidden/row" in bank else 0
    if row:
        head[HIDDEN_KERNEL] = bank["head/hidden/kernel"][row]
        head[HIDDEN_BIAS] = bank["head/hidden/bias"][row]
    return head
