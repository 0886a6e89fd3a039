"""Parameter-efficient methods: layers that a task adds to encoder blocks.

To add a method, write its module and add its class to `METHODS`; see `base`.
"""

from typing import Any

from adapters_tf.adapters.base import AdapterMethod as AdapterMethod
from adapters_tf.adapters.base import TaskForm
from adapters_tf.adapters.bottleneck import AdapterConfig as AdapterConfig
from adapters_tf.adapters.bottleneck import BottleneckAdapter as BottleneckAdapter
from adapters_tf.adapters.bottleneck import SerialForm

METHODS: dict[str, type[AdapterMethod]] = {cls.name: cls for cls in (AdapterConfig,)}
# The method of files that name none, and of tasks without adapters.
DEFAULT_METHOD = AdapterConfig
DEFAULT_FORM: TaskForm = SerialForm()


def adapter_from_dict(config: dict[str, Any]) -> AdapterMethod:
    """Create a configuration from the output of `AdapterMethod.to_dict`.

    Raises:
        ValueError: if the method or a field is unknown.
    """
    name = config.get("method", DEFAULT_METHOD.name)
    if name not in METHODS:
        raise ValueError(
            f"The method of adapters must be one of {', '.join(METHODS)}. Received: "
            f"method={name!r}"
        )
    return METHODS[name].from_dict(config)


def form_of(adapter: AdapterMethod | dict[str, Any] | None) -> TaskForm:
    """Return the form in which exports hold a task's adapters.

    Args:
        adapter: A configuration, its `to_dict`, or `None` for no adapters.
    """
    if isinstance(adapter, dict):
        adapter = adapter_from_dict(adapter)
    return DEFAULT_FORM if adapter is None else adapter.form()


def full_forms() -> tuple[TaskForm, ...]:
    """Return each method's full form; together they can hold every task."""
    return tuple(method.full_form() for method in METHODS.values())


def export_forms() -> list[tuple[TaskForm, ...]]:
    """Return the combinations of task forms that an exported base supports.

    They are the default form, each method's full form, and all full forms together, for
    tasks of different methods in one servable.
    """
    forms = full_forms()
    found: list[tuple[TaskForm, ...]] = [(DEFAULT_FORM,), *((form,) for form in forms)]
    return found if len(forms) == 1 else [*found, forms]
