"""Registers this library's classes with Keras as soon as both are imported.

`keras.saving.load_model` only finds classes that a decorator has registered, and
that decorator runs when their modules are imported. `import adapters_tf` imports
none of them, because they would import Keras and TensorFlow. So the modules are
imported when Keras is: right away if it is there already, and otherwise by an
import hook (the "post-import hook" of PEP 369, as in the package wrapt).
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence

_PACKAGE = __name__.partition(".")[0]
# Their `__init__` imports the other's, so both must have ended.
_WATCHED = ("keras", "keras_hub")
_BACKENDS = ("tensorflow", "jax")


def register_with_keras(modules: Sequence[str]) -> None:
    """Import the modules once Keras is imported.

    Nothing happens on Keras backends that the modules do not run on.

    Args:
        modules: Names of the modules whose classes Keras shall find.
    """
    if "keras" in sys.modules:
        import_all(modules)
    else:
        sys.meta_path.insert(0, _Watcher(modules))


def import_all(modules: Sequence[str]) -> None:
    """Import the modules, if Keras has a backend that they run on.

    Args:
        modules: Their names.
    """
    if _is_importing() or sys.modules["keras"].config.backend() not in _BACKENDS:
        return
    for module in modules:
        importlib.import_module(module)


class _Watcher(importlib.abc.MetaPathFinder):
    """Finds what the other finders find, with a loader that calls back."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = modules
        self._asking = False
        self._running = 0

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _WATCHED or self._asking:
            return None
        self._asking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self)
        return spec

    def run(self, loader: importlib.abc.Loader, module: types.ModuleType) -> None:
        """Execute one of the watched modules, and register after the last."""
        self._running += 1
        try:
            loader.exec_module(module)
        finally:
            self._running -= 1
        if not self._running and not _is_importing():
            sys.meta_path.remove(self)
            import_all(self._modules)


class _Loader(importlib.abc.Loader):
    """Another loader, whose modules the watcher executes."""

    def __init__(self, loader: importlib.abc.Loader, watcher: _Watcher) -> None:
        self._loader = loader
        self._watcher = watcher

    def create_module(
        self, spec: importlib.machinery.ModuleSpec
    ) -> types.ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        # The module keeps its own loader, which knows where its files are.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._watcher.run(self._loader, module)


def _is_importing() -> bool:
    """Whether one of our own modules is what imports Keras.

    Our modules cannot be imported in the middle of each other. `adapters_tf`
    registers the rest when one of its names is used.
    """
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith(f"{_PACKAGE}.") and name != __name__:
            return True
    return False
