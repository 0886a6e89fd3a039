"""Read the tasks that a batch names from files, inside the graph of a servable.

A graph cannot go on after a failed op, but a data set can skip elements whose function
fails. So a data set reads the files, and a file that cannot be read counts as absent.
All bytes are checked before a row depends on them: their number, their checksums and
the fingerprint of their base. Rows whose task fails a check get the blank task, and
other rows do not notice.

Files are never copied whole: the graph cuts each section out of all files at once and
joins the parts.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from adapters_tf.adapters import full_forms
from adapters_tf.export.base_functions import fingerprint_words
from adapters_tf.export.mixed_rows import (
    DAMAGED_TASK,
    INVALID_NAME,
    NO_TASK,
    OK,
    OTHER_BASE,
    UNKNOWN_TASK,
    UNSUPPORTED_TASK,
    FoundTasks,
)
from adapters_tf.export.servable_functions import TaskTable
from adapters_tf.export.task_file import BUCKETS, COVERED, HEADER, MAGIC, blank_bytes
from adapters_tf.export.task_layout import HIDDEN_BIAS, HIDDEN_KERNEL, TaskLayout
from adapters_tf.export.task_tensors import NORM
from adapters_tf.tasks.kinds import kinds

# The folder of live tasks, beside the versions, and the end of their files' names.
TASKS_DIR, SUFFIX = "tasks", ".task"
# The form of a task's name, in the syntax of Python and of RE2.
NAME = r"[A-Za-z][A-Za-z0-9_]{0,99}"
# The asset that tells a graph where its version is.
ANCHOR = "live.txt"
HEAD_INPUTS = ("cls", "pooled", "mean")
_VERSION_AND_ASSET = rf"[^/]+/+assets/+{ANCHOR}$"


class LiveTasks:
    """The tasks of a servable whose tasks are files.

    Args:
        layout: The layout of the base.
        fingerprint: The base's `base_fingerprint`.
        fixed: Table from the name of a task that the version itself holds to its place
            in `files`, -1 for other names.
        files: `[fixed]` strings, a tensor or variable: their `task_bytes`.
        anchor: The path of the asset `ANCHOR`, a scalar string.
    """

    def __init__(
        self,
        layout: TaskLayout,
        fingerprint: str,
        fixed: Any,
        files: Any,
        anchor: Any,
    ) -> None:
        self._layout = layout
        self._fingerprint = fingerprint_words(fingerprint)
        self._kinds = list(kinds().values())
        self._blank = blank_bytes(layout, fingerprint, self._kinds[0].name)
        self._fixed = fixed
        self._files = files
        self._anchor = anchor

    def find(self, task: Any) -> FoundTasks:
        """Read the tasks of a batch.

        Args:
            task: `[B]` names of tasks, or any other strings.
        """
        with tf.device("cpu"):
            names, name_of_row = tf.unique(task)
            is_valid = tf.strings.regex_full_match(names, NAME)
            places, files = self._read(names, is_valid)
            headers = _read_headers(files)
            own_base = tf.reduce_all(headers.fingerprint == self._fingerprint, axis=1)
            own_layout = tf.equal(headers.layout, self._layout.number)
            good = headers.intact & own_base & own_layout
            # The places of T tasks among the R files. The blank task is the first, and
            # is always good.
            found = tf.where(good)
            about = _parse_about(tf.gather_nd(headers.about, found), self._layout)
            sections, same = self._sections(files, found, headers.start, about)
            kind = _index(about["kind"], [kind.name for kind in self._kinds])
            head_input = _index(about["head_input"], HEAD_INPUTS)
            supported = (kind >= 0) & (head_input >= 0)
            of_task = tf.where(supported, OK, UNSUPPORTED_TASK)
            of_task = tf.where(same, of_task, DAMAGED_TASK)
            of_file = tf.where(own_base, UNSUPPORTED_TASK, OTHER_BASE)
            of_file = tf.where(headers.intact, of_file, DAMAGED_TASK)
            of_file = tf.tensor_scatter_nd_update(of_file, found, of_task)
            status = tf.where(is_valid, UNKNOWN_TASK, INVALID_NAME)
            status = tf.where(tf.equal(names, ""), NO_TASK, status)
            at = places[1:, None]
            status = tf.tensor_scatter_nd_update(status, at, of_file[1:])
            task_of_file = tf.cumsum(tf.cast(good, tf.int32)) - 1
            index = tf.tensor_scatter_nd_update(
                tf.zeros_like(status, tf.int32), at, task_of_file[1:]
            )
            known = tf.equal(status, OK)
            index = tf.where(known, index, 0)
            usable = tf.equal(of_task, OK)
            table = self._table(
                about, usable, tf.maximum(kind, 0), tf.maximum(head_input, 0)
            )
            return FoundTasks(
                self._bank(sections, about, usable),
                table,
                tf.gather(index, name_of_row),
                tf.gather(known, name_of_row),
                tf.gather(status, name_of_row),
            )

    # === Files ===

    def _read(self, names: Any, is_valid: Any) -> tuple[Any, Any]:
        """Read the files of tasks.

        Args:
            names: `[N]` strings.
            is_valid: `[N]` bool.

        Returns:
            `[R]` int64 places in `names`, -1 for the blank task, which is the first;
            and `[R]` strings, the files.
        """
        fixed = self._fixed.lookup(names)
        folder = tf.strings.regex_replace(
            self._anchor, _VERSION_AND_ASSET, f"{TASKS_DIR}/"
        )
        wanted = tf.where(is_valid & (fixed < 0))[:, 0]
        paths = tf.strings.join([folder, tf.gather(names, wanted), SUFFIX])
        blank = (tf.constant(-1, tf.int64), tf.constant(self._blank))
        read = tf.data.Dataset.from_tensor_slices((wanted, paths)).map(_read_file)
        # A batch of no element would be an error.
        batch = (
            tf.data.Dataset.from_tensors(blank)
            .concatenate(read.ignore_errors())
            .batch(tf.size(wanted, tf.int64) + 1)
        )
        places, files = batch.get_single_element()
        has_file = tf.where(fixed >= 0)[:, 0]
        own = tf.gather(self._files, tf.gather(fixed, has_file))
        return tf.concat([places, has_file], 0), tf.concat([files, own], 0)

    def _sections(
        self, files: Any, found: Any, start: Any, about: dict[str, Any]
    ) -> tuple[dict[str, Any], Any]:
        """Join the sections of tasks.

        Args:
            files: `[R]` strings.
            found: `[T, 1]` int64: the file of each task.
            start: `[R]` int64: the first byte of each file's sections.
            about: The descriptions of the tasks.

        Returns:
            Each section's items, those of all tasks in their order, and whether the
            task's numbers are those that were written, `[T]` bool.
        """
        lengths, shape = about["lengths"], tf.shape(files, tf.int64)
        starts = tf.cumsum(lengths, axis=1, exclusive=True)
        starts += tf.gather_nd(start, found)[:, None]
        shape = tf.concat([shape, [len(self._layout.sections)]], 0)
        # Files that are not good have empty sections.
        starts = tf.unstack(tf.scatter_nd(found, starts, shape), axis=1)
        sizes = tf.unstack(tf.scatter_nd(found, lengths, shape), axis=1)
        expected = tf.unstack(about["checksums"], axis=1)
        items, same = {}, []
        for section, first, size, wanted in zip(
            self._layout.sections, starts, sizes, expected, strict=True
        ):
            parts = tf.strings.substr(files, first, size)
            sums = tf.strings.to_hash_bucket_fast(parts, BUCKETS)
            same.append(tf.equal(tf.gather_nd(sums, found), wanted))
            numbers = tf.io.decode_raw(tf.strings.reduce_join(parts), section.dtype)
            items[section.name] = tf.reshape(numbers, [-1, *section.shape])
        return items, tf.reduce_all(tf.stack(same), axis=0)

    # === What the batch's rows need ===

    def _table(
        self, about: dict[str, Any], usable: Any, kind: Any, head_input: Any
    ) -> TaskTable:
        """Return the facts of T tasks.

        Args:
            about: Their descriptions.
            usable: `[T]` bool: whether rows run the task. Others do not widen outputs.
            kind: `[T]` int32.
            head_input: `[T]` int32.
        """
        outputs = about["outputs"][:, 0]
        one_vector = tf.gather([k.one_vector for k in self._kinds], kind)
        labels = about["labels"]
        num_labels = tf.cast(labels.row_lengths(), tf.int32)
        widths = tf.where(usable & one_vector, tf.maximum(outputs, num_labels), 1)
        most = {
            k.name: tf.reduce_max(tf.where(usable & tf.equal(kind, i), outputs, 1))
            for i, k in enumerate(self._kinds)
        }
        return TaskTable(
            kinds=self._kinds,
            kind=kind,
            num_texts=about["texts"][:, 0],
            seq_length=about["seq_length"][:, 0],
            head_inputs=HEAD_INPUTS,
            head_input=head_input,
            labels=labels.values,
            num_labels=num_labels,
            num_classes=tf.reduce_max(widths),
            most_outputs=most,
            needs_all_windows=True,
        )

    def _bank(
        self, items: dict[str, Any], about: dict[str, Any], usable: Any
    ) -> dict[str, Any]:
        """Return the tasks' bank: views of the joined sections."""
        base, bank = self._layout.base, {}
        # The first task besides the blank one, or that itself.
        of_rows = tf.where(usable)[:, 0]
        first = of_rows[tf.minimum(tf.size(of_rows) - 1, 1)]
        for form in full_forms():
            for t in form.once():
                # Rows of the blank task must not change how others are computed.
                alike = items[t.name][first : first + 1]
                bank[t.name] = tf.concat([alike, items[t.name][1:]], 0)
            paths = form.paths(base.block_paths)
            sizes = about[f"{form.name}/size"]
            offsets = tf.unstack(_offsets(sizes), axis=1)
            for path, offset, size in zip(
                paths, offsets, tf.unstack(sizes, axis=1), strict=True
            ):
                bank[f"{path}/offset"], bank[f"{path}/size"] = offset, size
            for t in form.at_site(base.hidden_dim):
                name = f"{form.name}/{t.name}"
                of_paths = [f"{path}/{t.name}" for path in paths]
                if t.ragged:
                    shapes = tf.reshape(
                        about[f"{name}/shape"], [-1, len(paths), len(t.shape)]
                    )
                    bank |= _by_path(of_paths, "/shape", shapes)
                    counts = tf.reduce_prod(shapes, axis=2)
                    bank |= _by_path(of_paths, "/offset", _offsets(counts))
                if t.ragged or t.unit_axis is not None:
                    bank |= dict.fromkeys(of_paths, items[name])
                else:
                    bank |= _by_path(of_paths, "", items[name])
        for size, places in self._layout.norm_sizes.items():
            own = tf.gather(about["norms"], places, axis=1)
            of_paths = [base.norm_paths[place] for place in places]
            rows = tf.where(own > 0, _offsets(own), 0)
            bank |= _by_path(of_paths, "/row", rows)
            for name in NORM:
                values = items[f"norms/{size}/{name}"]
                bank |= {f"{path}/{name}": values for path in of_paths}
        bank["head/size"] = about["outputs"][:, 0]
        bank["head/offset"] = _offsets(about["outputs"])[:, 0]
        bank |= {name: items[name] for name in ("head/kernel", "head/bias")}
        hidden, d = about["hidden"], base.hidden_dim
        bank["head/hidden/row"] = tf.where(hidden > 0, _offsets(hidden), 0)[:, 0]
        zeros = tf.zeros([1, d, d])
        kernels = items[HIDDEN_KERNEL]
        bank[HIDDEN_KERNEL] = tf.cond(
            tf.shape(kernels)[0] > 0,
            lambda: tf.concat([zeros, kernels], 0),
            lambda: zeros,
        )
        bank[HIDDEN_BIAS] = items[HIDDEN_BIAS]
        return bank | {"fingerprint": tf.constant(self._fingerprint)}


def _read_file(place: Any, path: Any) -> tuple[Any, Any]:
    return place, tf.io.read_file(path)


class _Headers(NamedTuple):
    """The headers of R files.

    Attributes:
        intact: `[R]` bool: whether the file has the length that its header says, and
            header and description are as they were written.
        fingerprint: `[R, 4]` int64.
        layout: `[R]` int64: the number of the file's layout.
        about: `[R]` strings: the description.
        start: `[R]` int64: the byte after it.
    """

    intact: Any
    fingerprint: Any
    layout: Any
    about: Any
    start: Any


def _read_headers(files: Any) -> _Headers:
    lengths = tf.strings.length(files)
    is_long = lengths >= HEADER
    header = tf.strings.substr(files, 0, HEADER)
    header = tf.where(is_long, header, b"\0" * HEADER)
    numbers = tf.io.decode_raw(header, tf.int64)
    numbers = tf.ensure_shape(numbers, [None, HEADER // 8])
    left = tf.cast(tf.maximum(lengths - HEADER, 0), tf.int64)
    size = tf.clip_by_value(numbers[:, 7], 0, left)
    begin = tf.cast(tf.minimum(lengths, HEADER), tf.int64)
    about = tf.strings.substr(files, begin, size)
    covered = tf.strings.join([tf.strings.substr(header, 0, COVERED), about])
    sums = tf.strings.to_hash_bucket_fast(covered, BUCKETS)
    intact = (
        is_long
        & tf.equal(tf.strings.substr(header, 0, len(MAGIC)), MAGIC)
        & tf.equal(numbers[:, 6], tf.cast(lengths, tf.int64))
        & tf.equal(numbers[:, 7], size)
        & tf.equal(numbers[:, 8], sums)
    )
    return _Headers(intact, numbers[:, 1:5], numbers[:, 5], about, HEADER + size)


def _parse_about(about: Any, layout: TaskLayout) -> dict[str, Any]:
    """Parse `[T]` descriptions: int32 `[T, n]` for integers, but int64 for sections."""
    sections = len(layout.sections)
    integers = {**layout.integers, "seq_length": 1, "texts": 1}
    spec = {
        **{n: tf.io.FixedLenFeature([size], tf.int64) for n, size in integers.items()},
        "lengths": tf.io.FixedLenFeature([sections], tf.int64),
        "checksums": tf.io.FixedLenFeature([sections], tf.int64),
        "kind": tf.io.FixedLenFeature([], tf.string),
        "head_input": tf.io.FixedLenFeature([], tf.string),
        "labels": tf.io.RaggedFeature(tf.string, validate=False),
    }
    parsed = tf.io.parse_example(about, spec)
    return parsed | {name: tf.cast(parsed[name], tf.int32) for name in integers}


def _index(values: Any, names: Any) -> Any:
    """Return `[T]` int32 places of strings in a list, -1 for others."""
    same = tf.equal(values[:, None], tf.constant(list(names)))
    place = tf.argmax(tf.cast(same, tf.int32), axis=1, output_type=tf.int32)
    return tf.where(tf.reduce_any(same, axis=1), place, -1)


def _offsets(counts: Any) -> Any:
    """Return the first item of each task at each place, from the items before it.

    Item 0 belongs to no task.

    Args:
        counts: `[T, P]` int32.
    """
    flat = tf.cumsum(tf.reshape(counts, [-1]), exclusive=True)
    return 1 + tf.reshape(flat, tf.shape(counts))


def _by_path(paths: list[str], end: str, values: Any) -> dict[str, Any]:
    """Return key -> `values[:, i]` for the i-th path."""
    parts = tf.unstack(values, num=len(paths), axis=1)
    return {f"{path}{end}": part for path, part in zip(paths, parts, strict=True)}
