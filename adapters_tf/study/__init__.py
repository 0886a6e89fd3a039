"""The paper's study: sweeps, ablations, the baseline without BERT, and reports.

Sweeps and reports need the extra `study`: `pip install "adapters-tf[study]"`.
"""

import importlib.util

from adapters_tf.errors import UserError

_LIBRARIES = ("keras_tuner", "matplotlib", "rich", "yaml")


def require_extra() -> None:
    """Refuse to go on without the libraries of the extra `study`.

    Raises:
        UserError: A library is not installed; the text has the command that installs
            it.
    """
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            "Sweeps and reports need the extra `study`. Not installed: "
            f'{", ".join(missing)}. Run: pip install "adapters-tf[study]"'
        )
