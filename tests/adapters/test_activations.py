"""Activations by number, against formulas in numpy."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from adapters_tf.adapters.graph_activations import activate, activate_rows
from adapters_tf.errors import UserError
from adapters_tf.layers.activations import ACTIVATIONS, activation_code


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _selu(x):
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))


# In the order of the numbers that exported adapters hold.
FORMULAS = {
    "gelu_tanh": lambda x: (
        x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    ),
    "gelu": lambda x: x / 2 * (1 + scipy.special.erf(x / np.sqrt(2))),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * _sigmoid(x),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": _selu,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "linear": lambda x: x,
}
CODES = range(len(FORMULAS))


@pytest.fixture(scope="module")
def x():
    """Values of both signs, beyond 6 and far out, none of them at a corner."""
    values = np.random.default_rng(0).normal(0, 4, (13, 5, 3)).astype("float32")
    values[0, 0] = [-40, 40, 0.25]
    return values


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Both functions in a SavedModel, as bases have them."""
    module = tf.Module()
    module.activate, module.activate_rows = activate, activate_rows
    path = str(tmp_path_factory.mktemp("activations"))
    tf.saved_model.save(module, path)
    return tf.saved_model.load(path)


def test_numbers_stay_as_they_are():
    """Adapters that were exported hold them."""
    assert ACTIVATIONS == tuple(FORMULAS)
    assert [activation_code(name) for name in FORMULAS] == list(CODES)
    assert activation_code("swish") == activation_code("silu")


@pytest.mark.parametrize("name", ["exponential", "", None, "Relu"])
def test_other_activations_are_refused(name):
    rule = "activation must be one of gelu_tanh, gelu, .*, linear. Received: "
    with pytest.raises(UserError, match=f"{rule}{name!r}$"):
        activation_code(name)


@pytest.mark.parametrize("code", CODES)
def test_values_and_gradients_of_a_saved_model(code, x, loaded):
    name = ACTIVATIONS[code]
    formula, wide = FORMULAS[name], x.astype("float64")
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = loaded.activate(variable, code)
        total = tf.reduce_sum(y)
    for got in (y, activate(x, code)):
        np.testing.assert_allclose(got, formula(wide), 1e-5, 1e-5)
    slope = (formula(wide + 1e-5) - formula(wide - 1e-5)) / 2e-5
    np.testing.assert_allclose(tape.gradient(total, variable), slope, 1e-4, 1e-4)


def test_each_row_has_its_own(x, loaded):
    codes = np.random.default_rng(1).permutation(CODES).astype("int32")
    y = loaded.activate_rows(x, codes)
    for row, code in enumerate(codes):
        alone = activate(x[row : row + 1], code)[0]
        np.testing.assert_allclose(y[row], alone, 1e-6, 1e-6)


@pytest.mark.parametrize("code", CODES)
def test_rows_of_one_activation_are_as_one_task(code, x, loaded):
    y = loaded.activate_rows(x, np.full(len(x), code, np.int32))
    np.testing.assert_array_equal(y, activate(x, code))


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 5, 0)])
def test_nothing_to_compute(shape, loaded):
    empty = np.zeros(shape, "float32")
    assert loaded.activate(empty, 3).shape == shape
    assert loaded.activate_rows(empty, np.arange(shape[0])).shape == shape
