"""Re-using a library's constructor with other building blocks.

keras-hub builds its encoder blocks and dropout layers inline, with no hook to
pass a class. `rebind` gives the *same code* other classes to build with, so no
constructor is copied and every model made of `TransformerEncoder` blocks can
carry adapters. This is the one place that depends on how keras-hub and Keras
are written inside; `tests/layers/test_rebind.py` fails when that changes.
"""

import types
from collections.abc import Callable
from typing import Any


class Overlay:
    """A module seen through a layer of replaced attributes.

    Args:
        module: The module (or another overlay) that answers everything else.
        **replaced: Attribute name -> the value to give instead.
    """

    def __init__(self, module: Any, **replaced: Any) -> None:
        self._module = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def rebind(function: Callable[..., Any], **replaced: Any) -> Callable[..., Any]:
    """A copy of `function` that sees other values for some global names.

    Nothing outside the copy changes: the module of `function` keeps its own
    globals, so plain models built at the same time, in any thread, stay plain.

    Args:
        function: A plain Python function.
        **replaced: Global name -> the value the copy shall see.

    Returns:
        The copy, with the same code, defaults and closure.

    Raises:
        RuntimeError: if the code of `function` does not use one of the names,
            that is, if the library is written differently from what is known.
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
