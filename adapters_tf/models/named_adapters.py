"""Several named tasks on one live model."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from adapters_tf.adapters import AdapterConfig, AdapterMethod
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.adapter_file import load_adapter, save_adapter
from adapters_tf.models.adapter_forms import DEFAULT_NAME, AdapterForms
from adapters_tf.models.trainable_set import Tuning, check_base_weights


class NamedAdapters(AdapterForms):
    """The part of `AdapterModel` that swaps, adds, saves and loads tasks."""

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the tasks that this model holds, in the order they were added.

        A new model holds one, `"default"`.
        """
        return tuple(self._live.order)

    @property
    def active_adapter(self) -> str:
        """Name of the task that the model computes and trains.

        Set it to activate another task. If both tasks have the same form (kind,
        adapters, tuning and head), this only assigns variables. Otherwise the model
        takes the other task's class and layers and retraces compiled functions; rebuild
        your own functions that use the model. In both cases the optimizer is reset,
        with the settings of `compile`.
        """
        return self._live.active

    @active_adapter.setter
    def active_adapter(self, name: str) -> None:
        if name == self._live.active:
            return
        self._check_known(name)
        self._put_aside_and_show(self._live.others[name], name)

    def add_adapter(
        self,
        name: str,
        *,
        kind: str | None = None,
        adapter: AdapterMethod | None = None,
        tuning: Tuning | str | None = None,
        labels: Sequence[str] | None = None,
        **head: Any,
    ) -> None:
        """Start a new task on the same live base and activate it.

        The task starts from the base as it was loaded, with new adapters and a new
        head; the other tasks do not change. Compile again if you want a loss or metrics
        other than the defaults.

        Args:
            name: Its name.
            kind: `"classification"`, `"regression"`, `"question_answering"`,
                `"multi_label"` or `"token_classification"`; by default the active
                task's.
            adapter: Its adapters; by default the active task's configuration.
            tuning: What it trains; by default the active task's tuning.
            labels: Names of its classes; they also give `num_classes`.
            **head: The head's arguments, such as `num_classes`.

        Raises:
            UserError: if the name is taken, the kind is unknown, or a task trains more
                of the base than LayerNorms.
        """
        self._check_new(name)
        kind = kind or self.kind
        if kind not in self.kinds:
            raise UserError(
                f"kind must be one of {', '.join(self.kinds)}. Received: kind={kind!r}"
            )
        if labels is not None and "num_classes" not in head:
            head["num_classes"] = len(labels)
        tuning = self.tuning if tuning is None else Tuning.of(tuning)
        if adapter is None:
            adapter = self.backbone.adapter
            if tuning.has_adapters and adapter is None:
                adapter = AdapterConfig()
        if not tuning.has_adapters:
            adapter = None
        old = self._aside()
        self._become(old, self.kinds[kind], adapter, tuning, head, labels=labels)
        self._now(name, old)

    def delete_adapter(self, name: str) -> None:
        """Delete an inactive task.

        Args:
            name: Its name.

        Raises:
            UserError: if there is no such task, or it is active.
        """
        if name == self._live.active:
            raise UserError(
                "The active adapter cannot be deleted; activate another one first. "
                f"Received: name={name!r}"
            )
        self._check_known(name)
        del self._live.others[name]
        self._live.order.remove(name)

    def save_adapter(
        self,
        directory: str | os.PathLike[str],
        overwrite: bool = False,
        **about: Any,
    ) -> None:
        """Write the active task to an adapter directory atomically.

        The command-line tools, the exports and `adapters_tf.load_model` read it.

        Args:
            directory: Where to write; its last part names an unnamed task.
            overwrite: Replace an adapter in this directory.
            **about: As `get_adapter`.

        Raises:
            AdapterFileError: if the directory exists, or cannot be written.
            UserError: as `get_adapter`.
        """
        adapter = self.get_adapter(**about)
        unnamed = adapter.task.get("name") == DEFAULT_NAME
        if "task" not in about and unnamed:
            name = pathlib.Path(directory).resolve().name
            adapter = dataclasses.replace(adapter, task={**adapter.task, "name": name})
        save_adapter(adapter, directory, overwrite)

    def load_adapter(
        self,
        directory: str | os.PathLike[str],
        name: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Load a task that was trained on this base and activate it.

        Args:
            directory: An adapter directory.
            name: Its name in this model; by default the task's own.
            overwrite: Replace the model's task of that name.

        Raises:
            AdapterFileError: if the directory is unusable, or for another base.
            UserError: if the name is taken, or the base has other weights than those it
                was loaded with.
        """
        adapter = load_adapter(directory)
        name = name or adapter.task.get("name") or pathlib.Path(directory).name
        if not overwrite:
            self._check_new(name)
        # Only the base must match; the model can take any other form.
        expected = self.get_config_of_adapter()
        adapter.check_fits(
            {key: expected[key] for key in ("backbone", "base_fingerprint")}
        )
        check_base_weights(self)
        if adapter.kind not in self.kinds:
            raise AdapterFileError(
                f"kind must be one of {', '.join(self.kinds)}. Received: "
                f"{str(directory)!r} of the kind {adapter.kind!r}"
            )
        if name == self._live.active:
            self._show(adapter, self._aside())
        else:
            self._put_aside_and_show(adapter, name)

    def _put_aside_and_show(self, adapter: Adapter, name: str) -> None:
        old = self._aside()
        self._show(adapter, old)
        self._now(name, old)

    def _now(self, name: str, old: Adapter) -> None:
        """Record that this task is now active, and keep the previous one."""
        live = self._live
        live.others[live.active] = old
        live.others.pop(name, None)
        live.active = name
        if name not in live.order:
            live.order.append(name)

    def _check_known(self, name: str) -> None:
        if name not in self._live.others:
            raise UserError(
                f"The model's adapters are {', '.join(self.adapters)}. Received: "
                f"{name!r}; load_adapter or add_adapter brings another one"
            )

    def _check_new(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise UserError(f"An adapter's name is a text. Received: name={name!r}")
        if name in self._live.order:
            raise UserError(
                f"Each adapter of a model has a name of its own. Received: {name!r}, "
                "which there is; delete that one, or choose another name"
            )
