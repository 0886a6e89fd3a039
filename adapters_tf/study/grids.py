"""The grids of the paper, by name."""

from typing import Any

from adapters_tf.data.glue import GLUE_LAYOUTS

_GLUE = {"learning_rate": [3e-5, 3e-4, 3e-3], "epochs": [3, 20]}
_ADDITIONAL = {
    "learning_rate": [1e-5, 3e-5, 1e-4, 3e-3],
    "epochs": [20, 50, 100],
}
_TOP_N = [1, 2, 3, 5, 7, 9, 11, 12]
# The nine tasks but WNLI, which the paper leaves out as Devlin et al. do.
_GLUE_TASKS = [name for name in GLUE_LAYOUTS if name != "wnli"]

GRIDS: dict[str, dict[str, Any]] = {
    # Section 3.2: BERT-large; the best of five seeds.
    "glue": {
        "tasks": _GLUE_TASKS,
        "seeds": [0, 1, 2, 3, 4],
        "grid": [
            {"method": "adapters", "bottleneck_dim": [8, 64, 256], **_GLUE},
            {"method": "full", **_GLUE},
        ],
    },
    # Section 3.3: BERT-base; mean and s.e.m. over seeds of what the sweep selected.
    "additional": {
        "seeds": [0],
        "final_seeds": [1, 2, 3, 4],
        "grid": [
            {
                "method": "adapters",
                "bottleneck_dim": [2, 4, 8, 16, 32, 64],
                **_ADDITIONAL,
            },
            {"method": "full", **_ADDITIONAL},
            {"method": "top_n", "top_n": _TOP_N, **_ADDITIONAL},
            {"method": "no_bert", "epochs": 20},
        ],
    },
    # Section 3.5: sizes of figure 5; rates and epochs are those of GLUE.
    "squad": {
        "tasks": ["squad"],
        "seeds": [0, 1, 2],
        "seq_length": 384,
        "grid": [
            {"method": "adapters", "bottleneck_dim": [2, 8, 64, 256], **_GLUE},
            {"method": "full", **_GLUE},
        ],
    },
    # Section 3.6: initial scales of the adapters' kernels.
    "init_scale": {
        "seeds": [0, 1, 2],
        "grid": [
            {
                "method": "adapters",
                "initializer_stddev": [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0],
            }
        ],
    },
}
