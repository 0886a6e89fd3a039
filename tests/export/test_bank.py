"""Many tasks' tensors in one bank, and back."""

import numpy as np
import pytest

from adapters_tf.adapters.bottleneck_forms import DOWN, UP
from adapters_tf.export.bank import BankLayout, ExportedTask, build_bank, split_bank
from adapters_tf.export.task_tensors import NORM
from adapters_tf.tasks.text_kind import BIAS, HIDDEN_BIAS, HIDDEN_KERNEL, KERNEL

D = 6
PATHS = ["block_0/attention_adapter", "block_0/feed_forward_adapter"]
NORM_PATHS = ["embeddings_layer_norm", "block_0/norm"]
LAYOUT = BankLayout(["block_0"], NORM_PATHS, D)


def make_task(seed, sizes, norms=(True, True), outputs=2, hidden=False):
    """A random task with bottlenecks of these sizes, 0 for no adapter.

    norms: of the paths of LayerNorms, which are the task's own.
    hidden: whether the head has a hidden layer.
    """
    random = np.random.default_rng(seed)

    def values(*shape):
        return random.normal(size=shape).astype("float32")

    encoder = {"activation": np.int32(seed % 13), "fingerprint": np.arange(4)}
    for path, m in zip(PATHS, sizes, strict=True):
        encoder[f"{path}/{DOWN}/kernel"] = values(D, m)
        encoder[f"{path}/{DOWN}/bias"] = values(m)
        encoder[f"{path}/{UP}/kernel"] = values(m, D)
        encoder[f"{path}/{UP}/bias"] = values(D) * (m > 0)
    for path, own in zip(NORM_PATHS, norms, strict=True):
        for name in NORM:
            encoder[f"{path}/{name}"] = values(D if own else 0)
    head = {KERNEL: values(D, outputs), BIAS: values(outputs)}
    if hidden:
        head |= {HIDDEN_KERNEL: values(D, D), HIDDEN_BIAS: values(D)}
    return ExportedTask({"seed": seed, "adapter": None}, encoder, head)


MIXED = [
    make_task(0, (4, 4)),
    make_task(1, (1, 9), outputs=7),
    make_task(2, (0, 0), norms=(False, False), outputs=1),
    make_task(3, (0, 3), outputs=3),
    make_task(4, (5, 0), norms=(False, True)),
    make_task(5, (0, 0)),
]


@pytest.mark.parametrize(
    "tasks",
    [
        MIXED,
        MIXED[::-1],
        [MIXED[2]],
        [MIXED[2], MIXED[0]],
        [MIXED[1]] * 3,
        [*MIXED, make_task(6, (2, 2), hidden=True), make_task(7, (0, 1), hidden=True)],
    ],
    ids=["mixed", "reversed", "head_only", "head_only_first", "same", "hidden_layers"],
)
def test_round_trip_to_the_bit(tasks):
    bank = build_bank(tasks, LAYOUT)
    back = split_bank(bank, [t.config for t in tasks], LAYOUT)
    assert len(back) == len(tasks)
    for task, other in zip(tasks, back, strict=True):
        assert other.config == task.config
        for part in ("encoder", "head"):
            ours, theirs = getattr(task, part), getattr(other, part)
            assert set(ours) == set(theirs)
            for name, value in ours.items():
                assert theirs[name].dtype == value.dtype, name
                np.testing.assert_array_equal(theirs[name], value, strict=True)


def test_a_task_costs_its_own_units_and_no_padding():
    """Unit 0 is the only one that is no task's."""
    bank = build_bank(MIXED, LAYOUT)
    for path, units in zip(PATHS, (4 + 1 + 5, 4 + 9 + 3), strict=True):
        assert bank[f"{path}/{DOWN}/kernel"].shape == (1 + units, D)
        assert bank[f"{path}/{DOWN}/bias"].shape == (1 + units,)
        assert bank[f"{path}/{UP}/kernel"].shape == (1 + units, D)
        assert bank[f"{path}/{UP}/bias"].shape == (len(MIXED), D)
        for part in (f"{DOWN}/kernel", f"{DOWN}/bias", f"{UP}/kernel"):
            assert not bank[f"{path}/{part}"][0].any()
            assert (bank[f"{path}/{part}"][1:] != 0).all()
    # Four of the six have a LayerNorm of the embeddings, and five one of the block.
    rows = ([1, 2, 0, 3, 0, 4], [1, 2, 0, 3, 4, 5])
    for path, wanted in zip(NORM_PATHS, rows, strict=True):
        assert bank[f"{path}/row"].tolist() == wanted
        for name in NORM:
            assert bank[f"{path}/{name}"].shape == (1 + max(wanted), D)
            assert (bank[f"{path}/{name}"][1:] != 0).all()
    assert bank["head/kernel"].shape == (1 + 2 + 7 + 1 + 3 + 2 + 2, D)


def test_memory_grows_by_the_added_task_alone():
    def size(tasks):
        return sum(v.nbytes for v in build_bank(tasks, LAYOUT).values())

    def own(task):
        return sum(v.nbytes for v in [*task.encoder.values(), *task.head.values()])

    for task in MIXED:
        # Beside its tensors: an offset and a size for each adapter and the head,
        # and a row for each LayerNorm; the fingerprint is there once.
        numbers = 4 * (2 * (len(PATHS) + 1) + len(NORM_PATHS))
        numbers -= task.encoder["fingerprint"].nbytes
        for others in (MIXED, MIXED[1:2], MIXED[2:3] * 4):
            assert size([*others, task]) - size(others) == own(task) + numbers


def test_units_of_each_task_follow_each_other():
    bank = build_bank(MIXED, LAYOUT)
    for path in [*PATHS, "head"]:
        offset, size = bank[f"{path}/offset"], bank[f"{path}/size"]
        assert offset.dtype == size.dtype == np.int32
        assert offset[0] == 1
        np.testing.assert_array_equal(offset[1:], (offset + size)[:-1])
    assert bank[f"{PATHS[1]}/size"].tolist() == [4, 9, 0, 3, 0, 0]
    start = bank[f"{PATHS[1]}/offset"][1]
    np.testing.assert_array_equal(
        bank[f"{PATHS[1]}/{UP}/kernel"][start : start + 9],
        MIXED[1].encoder[f"{PATHS[1]}/{UP}/kernel"],
    )


def test_no_task_is_no_bank():
    with pytest.raises(ValueError, match="at least one task"):
        build_bank([], LAYOUT)
