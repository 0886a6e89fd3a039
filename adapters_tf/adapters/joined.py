"""Join the adapters of many tasks in a few arrays, without padding.

Each site has the joined tensors of its `TaskForm`:

- tensors of a fixed shape are stacked: `[tasks, ...]`;
- tensors with units are concatenated: `[1 + units, ...]`; all such tensors of a
  site share each task's `offset` and `size` `[tasks]`;
- ragged tensors are flattened: `[1 + numbers]`, with each task's `offset` `[tasks]`
  and `shape` `[tasks, rank]`.

Unit 0 (or number 0) is zero and belongs to no task. So a task takes only the space of
its own numbers, whatever the sizes of the others.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from adapters_tf.adapters.base import TaskForm, TaskTensor

Arrays = dict[str, np.ndarray]


def join(
    tasks: list[Arrays], form: TaskForm, block_paths: list[str], hidden_dim: int
) -> Arrays:
    """Join the adapters of tasks.

    Args:
        tasks: Each task's tensors by name; a missing tensor of the form counts as
            `TaskTensor.empty`.
        form: The form of the joined tasks.
        block_paths: Paths of the base's blocks.
        hidden_dim: Hidden size `d`.

    Returns:
        The arrays that `specs` describes.
    """
    joined: Arrays = {}
    for tensor in form.once():
        joined[tensor.name] = np.stack([_get(t, tensor.name, tensor) for t in tasks])
    for path in form.paths(block_paths):
        for tensor in form.at_site(hidden_dim):
            key = f"{path}/{tensor.name}"
            values = [_get(task, key, tensor) for task in tasks]
            if tensor.ragged:
                joined[f"{key}/shape"] = np.array([v.shape for v in values], np.int32)
                values = [value.reshape(-1) for value in values]
                joined[f"{key}/offset"] = spans([len(v) for v in values])[0]
                joined[key] = stack(values)
            elif tensor.unit_axis is None:
                joined[key] = np.stack(values)
            else:
                values = [np.moveaxis(v, tensor.unit_axis, 0) for v in values]
                offsets = spans([len(v) for v in values])
                joined[f"{path}/offset"], joined[f"{path}/size"] = offsets
                joined[key] = stack(values)
    return joined


def split(
    joined: Arrays, task: int, form: TaskForm, block_paths: list[str], hidden_dim: int
) -> Arrays:
    """Recover one task's tensors exactly as they were passed to `join`.

    Args:
        joined: From `join`.
        task: The task's index.
        form: The task's own form, which may hold less than the joined form.
        block_paths: As in `join`.
        hidden_dim: As in `join`.
    """
    values = {tensor.name: joined[tensor.name][task] for tensor in form.once()}
    for path in form.paths(block_paths):
        for tensor in form.at_site(hidden_dim):
            key = f"{path}/{tensor.name}"
            if tensor.ragged:
                shape = joined[f"{key}/shape"][task]
                start = joined[f"{key}/offset"][task]
                values[key] = joined[key][start : start + np.prod(shape)].reshape(shape)
            elif tensor.unit_axis is None:
                values[key] = joined[key][task]
            else:
                start = joined[f"{path}/offset"][task]
                units = joined[key][start : start + joined[f"{path}/size"][task]]
                values[key] = np.moveaxis(units, 0, tensor.unit_axis)
    return values


def take(
    joined: dict[str, Any],
    task: Any,
    form: TaskForm,
    block_paths: list[str],
    hidden_dim: int,
) -> dict[str, Any]:
    """Do the same as `split` inside a graph.

    Args:
        joined: From `join`, as tensors or variables.
        task: Scalar int32.
        form: The form of the joined tasks.
        block_paths: As in `join`.
        hidden_dim: As in `join`.
    """
    import tensorflow as tf

    def span(path: str) -> slice:
        start = tf.gather(joined[f"{path}/offset"], task)
        return slice(start, start + tf.gather(joined[f"{path}/size"], task))

    values = {
        tensor.name: tf.gather(joined[tensor.name], task) for tensor in form.once()
    }
    for path in form.paths(block_paths):
        tensors = form.at_site(hidden_dim)
        if any(tensor.unit_axis is not None for tensor in tensors):
            units = span(path)
        for tensor in tensors:
            key = f"{path}/{tensor.name}"
            if tensor.ragged:
                shape = tf.gather(joined[f"{key}/shape"], task)
                start = tf.gather(joined[f"{key}/offset"], task)
                numbers = joined[key][start : start + tf.reduce_prod(shape)]
                values[key] = tf.reshape(numbers, shape)
                values[key].set_shape(tensor.shape)
            elif tensor.unit_axis is None:
                values[key] = joined[key][task]
            elif tensor.unit_axis == 0:
                values[key] = joined[key][units]
            else:
                values[key] = tf.transpose(joined[key][units])
    return values


def task_specs(
    form: TaskForm, block_paths: list[str], hidden_dim: int
) -> dict[str, Any]:
    """Return `tf.TensorSpec`s of one task's tensors, by name."""
    import tensorflow as tf

    found = {t.name: tf.TensorSpec(t.shape, t.dtype) for t in form.once()}
    for path in form.paths(block_paths):
        for t in form.at_site(hidden_dim):
            found[f"{path}/{t.name}"] = tf.TensorSpec(t.shape, t.dtype)
    return found


def joined_specs(
    form: TaskForm, block_paths: list[str], hidden_dim: int
) -> dict[str, Any]:
    """Return `tf.TensorSpec`s of the arrays that `join` returns."""
    import tensorflow as tf

    found = {t.name: tf.TensorSpec([None, *t.shape], t.dtype) for t in form.once()}
    numbers = tf.TensorSpec([None], tf.int32)
    for path in form.paths(block_paths):
        for t in form.at_site(hidden_dim):
            key = f"{path}/{t.name}"
            if t.ragged:
                found[f"{key}/offset"] = numbers
                found[f"{key}/shape"] = tf.TensorSpec([None, len(t.shape)], tf.int32)
                found[key] = tf.TensorSpec([None], t.dtype)
            elif t.unit_axis is None:
                found[key] = tf.TensorSpec([None, *t.shape], t.dtype)
            else:
                found[f"{path}/offset"] = found[f"{path}/size"] = numbers
                others = [size for size in t.shape if size is not None]
                found[key] = tf.TensorSpec([None, *others], t.dtype)
    return found


def count_numbers(
    shapes: Mapping[str, tuple[int, ...]],
    read: Callable[[str], np.ndarray],
    form: TaskForm,
    block_paths: list[str],
    hidden_dim: int,
) -> Any:
    """Count the numbers that each of the joined tasks has.

    Args:
        shapes: Shape of each joined array; a smaller form has fewer arrays.
        read: Function that reads one of the arrays.
        form: A form of the tasks.
        block_paths: As in `join`.
        hidden_dim: As in `join`.

    Returns:
        `[tasks]` int, or 0 if no array is of this form.
    """
    total: Any = 0
    for path in form.paths(block_paths):
        units = read(f"{path}/size") if f"{path}/size" in shapes else np.int32(0)
        for tensor in form.at_site(hidden_dim):
            key = f"{path}/{tensor.name}"
            if key not in shapes:
                continue
            if tensor.ragged:
                total = total + read(f"{key}/shape").prod(axis=1)
            else:
                others = [size for size in tensor.shape if size is not None]
                # Tasks with an adapter here also have its tensors without units.
                count = np.sign(units) if tensor.unit_axis is None else units
                total = total + count * int(np.prod(others))
    return total


def spans(sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return int32 offsets (after the first position) and sizes of these parts."""
    ends = np.cumsum(sizes)
    return (1 + ends - sizes).astype(np.int32), np.array(sizes, np.int32)


def stack(parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate the parts after a part of length 1 that is all zeros."""
    zeros = np.zeros((1, *parts[0].shape[1:]), parts[0].dtype)
    return np.concatenate([zeros, *parts])


def _get(task: Arrays, key: str, tensor: TaskTensor) -> np.ndarray:
    return task.get(key, tensor.empty())
