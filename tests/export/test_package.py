"""The public names of adapters_tf.export, and what importing it costs."""

import subprocess
import sys

import pytest

import adapters_tf.export

NAMES = [
    "CombinedLayer",
    "add_task",
    "create_servable",
    "describe_servable",
    "export_adapter",
    "export_base",
    "remove_task",
    "roll_back",
    "write_deployment",
]


@pytest.mark.parametrize("name", NAMES)
def test_public_names(name):
    value = getattr(adapters_tf.export, name)
    assert value.__name__ == name and value.__doc__
    assert value.__module__.startswith("adapters_tf.export.")
    assert name in dir(adapters_tf.export)


def test_unknown_names_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'export_bass'"):
        _ = adapters_tf.export.export_bass


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("adapters_tf.export", ["tensorflow", "keras", "adapters_tf.models"]),
        (
            "adapters_tf.export.self_check",
            ["tensorflow", "keras", "adapters_tf.models"],
        ),
        (
            "adapters_tf.export.session",
            ["keras_hub", "adapters_tf.models", "adapters_tf.layers"],
        ),
    ],
)
def test_what_is_imported(module, without):
    found = f"sorted({{*{without}}} & set(sys.modules))"
    code = f"import sys, {module}; sys.exit(str({found}))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True
    )
    assert done.stderr.strip() == "[]"
