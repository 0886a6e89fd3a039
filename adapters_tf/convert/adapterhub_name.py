"""Names of adapters in AdapterHub's format."""

import re
from collections.abc import Callable

from adapters_tf.errors import UserError

# The library keeps adapters and heads in dictionaries of the class `ModuleDict` of
# torch, which takes no name that is one of its own attributes: loading ends with
# "attribute 'train' already exists". These are the attributes without an underscore in
# front, by torch 2.13; tests/convert/test_real_library.py compares them.
TAKEN_NAMES = frozenset(
    """
    T_destination add_module apply bfloat16 buffers call_super_init children clear
    compile cpu cuda double dump_patches eval extra_repr float forward get_buffer
    get_extra_state get_parameter get_submodule half ipu items keys load_state_dict
    modules mtia named_buffers named_children named_modules named_parameters
    parameters pop register_backward_hook register_buffer register_forward_hook
    register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
    set_extra_state set_submodule share_memory state_dict to to_empty train training
    type update values xpu zero_grad
    """.split()
)


def check_name(name: str) -> None:
    """Refuse a name that the library could not load.

    Raises:
        UserError: if it is one.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise UserError(
            "An adapter's name in AdapterHub's format has letters, digits, _ and -. "
            f"Received: {name!r}; choose another one with name"
        )
    if name.startswith("_") or name in TAKEN_NAMES:
        raise UserError(
            "An adapter's name in AdapterHub's format must not begin with _ or be that "
            "of an attribute of torch's ModuleDict, where the library keeps it. "
            f"Received: {name!r}; choose another one with name, such as "
            f"{_free_name(name)!r}"
        )


def name_of_task(task: str, say: Callable[[str], None]) -> str:
    """An adapter's name, made of its task's.

    Args:
        task: The task's name.
        say: Takes a line where an allowed name had to be found.
    """
    name = re.sub("[^A-Za-z0-9_-]+", "-", task) or "task"
    free = _free_name(name)
    if free != name:
        say(f"Its name there is {free}: torch keeps {name} for itself.")
    return free


def _free_name(name: str) -> str:
    name = name.lstrip("_") or "task"
    return f"{name}-task" if name in TAKEN_NAMES else name
