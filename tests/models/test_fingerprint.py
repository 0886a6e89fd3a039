"""The fingerprint of a base: every number of it counts, and the demo's is known."""

import keras_hub
import numpy as np
import pytest

from adapters_tf.data import demo
from adapters_tf.models.backbones import BertAdapterBackbone
from adapters_tf.models.fingerprint import (
    adapted_fingerprint,
    base_fingerprint,
    changed_variables,
    prefix_fingerprint,
    variable_digests,
)
from adapters_tf.models.presets import load_backbone

# Every adapter that was trained on the demo's base holds it: it must never change.
DEMO = "sha256:29d4e70327f1365bb5c886f92d83dcf79b5e2b8db4abedd9d8ee986fbacd26b9"


def moved(value):
    """The value with another last number: the next one above."""
    value = np.array(value)
    flat = value.reshape(-1)
    bits = flat.view(f"u{flat.itemsize}")
    bits[-1] ^= 1
    return value


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_last_bit_of_each_variable_counts(sizes, randomize, dtype):
    plain = keras_hub.models.BertBackbone(**sizes, dtype=dtype)
    randomize(plain)
    adapted = BertAdapterBackbone.from_backbone(plain)
    first = base_fingerprint(plain)
    assert adapted.fingerprint == adapted_fingerprint(adapted, {}) == first
    found, digests = {first}, variable_digests(plain.weights)
    assert digests == adapted.base_digests
    for variable in plain.weights:
        value = variable.numpy()
        changed = moved(value)
        assert not np.array_equal(changed, value)
        variable.assign(changed)
        found.add(base_fingerprint(plain))
        assert changed_variables(plain.weights, digests) == [variable.path]
        variable.assign(value)
    assert base_fingerprint(plain) == first
    assert len(found) == 1 + len(plain.weights)
    of_adapted = {
        adapted_fingerprint(adapted, {v.path: moved(v.numpy())})
        for v in adapted.base_variables()
    }
    assert of_adapted | {first} == found


def test_each_variable_below_counts_for_a_prefix(sizes, randomize):
    plain = keras_hub.models.BertBackbone(**sizes)
    randomize(plain)
    adapted = BertAdapterBackbone.from_backbone(plain)
    first, found = prefix_fingerprint(adapted, 1), {}
    for variable in adapted.base_variables():
        value = variable.numpy()
        variable.assign(moved(value))
        found[variable.path] = prefix_fingerprint(adapted, 1)
        variable.assign(value)
    above = {path for path, digest in found.items() if digest == first}
    block = adapted.encoder_blocks[1].weights
    assert above == {v.path for v in [*block, *adapted.pooled_dense.weights]}
    below = [digest for path, digest in found.items() if path not in above]
    assert len(set(below)) == len(below) == len(found) - len(above) > 0


@pytest.mark.network
def test_of_the_demo(from_index):
    from_index(demo.demo_encoder_dir)
    assert load_backbone("demo").fingerprint == DEMO
