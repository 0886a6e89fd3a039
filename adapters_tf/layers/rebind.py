"""Run a library's constructor with other building blocks.

keras-hub creates its encoder blocks and dropout layers inline, with no way to pass
other classes. `rebind` makes the *same code* use other classes. So every model of
`TransformerEncoder` blocks can carry adapters, and no constructor is copied. Only this
module depends on the source code of keras-hub and Keras; `tests/layers/test_rebind.py`
fails when that changes.
"""

import types
from collections.abc import Callable
from typing import Any


class Overlay:
    """A view of a module with some attributes replaced.

    Args:
        module: The module (or overlay) that provides all other attributes.
        **replaced: Attribute name -> replacement value.
    """

    def __init__(self, module: Any, **replaced: Any) -> None:
        self._module = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def rebind(function: Callable[..., Any], **replaced: Any) -> Callable[..., Any]:
    """Copy a function so that some global names have other values in it.

    The module of `function` keeps its own globals, so plain models built at the same
    time, in any thread, are unaffected.

    Args:
        function: A plain Python function.
        **replaced: Global name -> value in the copy.

    Returns:
        The copy, with the same code, defaults and closure.

    Raises:
        RuntimeError: if `function` does not use one of the names, because the library's
            code has changed.
    """
    unused = set(replaced) - set(function.__code__.co_names)
    if unused:
        raise RuntimeError(
            f"{function.__module__}.{function.__qualname__} no longer uses the "
            f"global name(s) {sorted(unused)}. The installed version of its "
            "library is not one that adapters-tf was written for; install a "
            "version inside the bounds of pyproject.toml."
        )
    copy = types.FunctionType(
        function.__code__,
        {**function.__globals__, **replaced},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = function.__qualname__
    return copy
