"""Values by key: limits, damage, kills, several processes."""

import logging
import random
import signal
import subprocess
import sys
import time

import pytest
from absl import logging as absl_logging

from adapters_tf.training.prefix_stores import DiskStore, MemoryStore, StoreFailed

KEYS = [bytes([i]) * 20 for i in range(40)]


def value(i, size=30_000):
    return random.Random(i).randbytes(size)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "here" / "states.sqlite"


@pytest.fixture(params=["memory", "disk"])
def make(request, path):
    def make(limit):
        if request.param == "memory":
            return MemoryStore(limit)
        return DiskStore(path, limit)

    return make


@pytest.fixture
def warnings(caplog):
    absl_logging.get_absl_logger().propagate = True
    caplog.set_level(logging.WARNING)
    return lambda: [r.getMessage() for r in caplog.records]


def test_what_was_put_comes_back_in_the_order_of_the_keys(make):
    store = make(10**7)
    store.put((KEYS[i], value(i)) for i in range(5))
    assert store.missing(KEYS[3:7]) == set(KEYS[5:7])
    found = store.get([KEYS[4], KEYS[9], KEYS[0], KEYS[4]])
    assert found == [value(4), None, value(0), value(4)]
    store.put([(KEYS[4], b"other")])
    assert store.get([KEYS[4]]) == [b"other"]
    assert store.missing(KEYS[:5]) == set()


def test_what_was_used_longest_ago_makes_room(make, request):
    store = make(600_000 if "memory" in request.node.name else 1_050_000)
    assert store.reserve(KEYS[:10], 10 * 30_000)
    store.put((KEYS[i], value(i)) for i in range(10))
    time.sleep(0.01)
    store.missing(KEYS[:3])  # used again
    # Room for more, with one that is there and must stay.
    assert store.reserve([KEYS[8], *KEYS[10:24]], 14 * 30_000)
    left = {key for key in KEYS[:10] if key not in store.missing([key])}
    assert KEYS[8] in left
    assert left >= set(KEYS[:3]) and 3 < len(left) < 10
    store.put((KEYS[i], value(i)) for i in range(10, 24))
    assert store.get(KEYS[10:24]) == [value(i) for i in range(10, 24)]


def test_nothing_is_removed_for_what_will_not_fit(make):
    store = make(700_000)
    store.put((KEYS[i], value(i)) for i in range(10))
    assert not store.reserve(KEYS[:30], 25 * 30_000)
    assert store.missing(KEYS[:10]) == set()
    # All of it is there: there is nothing to make room for.
    assert store.reserve(KEYS[:10], 0)


def test_file_is_shared_and_outlives_its_process(path):
    first, second = DiskStore(path, 10**7), DiskStore(path, 10**7)
    first.put([(KEYS[0], value(0))])
    assert second.get(KEYS[:2]) == [value(0), None]
    second.put([(KEYS[1], value(1))])
    first.close()
    second.close()
    assert DiskStore(path, 10**7).get(KEYS[:2]) == [value(0), value(1)]


def test_file_stays_below_its_limit(path):
    store = DiskStore(path, 1_000_000)
    with pytest.raises(StoreFailed, match="full"):
        for i in range(40):
            store.put([(KEYS[i], value(i))])
    assert path.stat().st_size <= 1_000_000
    # What was there is unharmed, and room can be made.
    assert store.get(KEYS[:20]) == [value(i) for i in range(20)]
    assert store.reserve(KEYS[30:], 10 * 30_000)
    store.put((KEYS[i], value(i)) for i in range(30, 40))
    assert store.get(KEYS[30:]) == [value(i) for i in range(30, 40)]
    assert path.stat().st_size <= 1_000_000
    store.close()
    # A lower limit makes the file smaller.
    smaller = DiskStore(path, 600_000)
    assert smaller.reserve(KEYS[30:31], 1)
    assert path.stat().st_size <= 600_000


def test_a_changed_value_is_not_returned(path, warnings):
    store = DiskStore(path, 10**7)
    store.put((KEYS[i], value(i)) for i in range(3))
    store.close()
    data = bytearray(path.read_bytes())
    # A byte in the middle of the second value.
    data[data.index(value(1)[20_000:20_100])] ^= 1
    path.write_bytes(data)
    store = DiskStore(path, 10**7)
    assert store.get(KEYS[:3]) == [value(0), None, value(2)]
    (line,) = warnings()
    assert "holds damaged values, which are not used" in line
    store.put([(KEYS[1], value(1))])
    assert store.get(KEYS[:3]) == [value(0), value(1), value(2)]


@pytest.mark.parametrize("damage", ["garbage", "cut", "pages"])
def test_a_damaged_file_is_removed(path, damage, warnings):
    store = DiskStore(path, 10**7)
    store.put((KEYS[i], value(i)) for i in range(20))
    store.close()
    data = path.read_bytes()
    changed = {
        "garbage": b"no database" * 1000,
        "cut": data[: len(data) // 2 + 100],
        # All but the header of the file.
        "pages": data[:100] + bytes(reversed(data[100:])),
    }
    path.write_bytes(changed[damage])
    results = []
    for _ in range(2):
        try:
            store = DiskStore(path, 10**7)
            results = store.get(KEYS[:20])
        except StoreFailed:
            continue
    assert all(found in (None, value(i)) for i, found in enumerate(results))
    assert "damaged" in warnings()[0]
    # The next process begins with a new file.
    store = DiskStore(path, 10**7)
    store.put([(KEYS[0], value(0))])
    assert store.get(KEYS[:1]) == [value(0)]


def test_after_damage_the_next_file_is_used_and_left_alone(path, warnings):
    stores = [DiskStore(path, 10**7) for _ in range(3)]
    stores[0].put([(KEYS[0], value(0))])
    # In the file that all of them have open.
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreFailed, match="not a database"):
        stores[0].missing(KEYS)
    assert not path.exists()
    other = DiskStore(path, 10**7)
    other.put([(KEYS[1], value(1))])
    for i, store in enumerate(stores, start=2):
        assert store.get(KEYS[:2]) == [None, value(1)]
        store.put([(KEYS[i], value(i))])
    assert other.get(KEYS[:5]) == [None, *map(value, range(1, 5))]
    # Another process finds the damage first, and makes a new file.
    with pytest.raises(StoreFailed, match="a damaged page"), stores[0]._connection():
        path.unlink()
        DiskStore(path, 10**7).put([(KEYS[5], value(5))])
        raise TypeError("a damaged page")
    assert [store.get(KEYS[4:6]) for store in stores] == [[None, value(5)]] * 3
    assert len(warnings()) == 2


def test_room_is_found_without_reading_all_entries(path):
    store = DiskStore(path, 10**8)
    steps = []
    for count in (100, 3_000):
        store.put((i.to_bytes(20, "big"), b"x") for i in range(count))
        steps.append(0)

        def count_step():
            steps[-1] += 1

        store._db.set_progress_handler(count_step, 1)
        assert store.reserve(KEYS[:10], 10 * 30_000)
        store._db.set_progress_handler(None, 0)
    assert 0 < steps[1] < 2 * steps[0]


def test_small_values_make_room_again_and_again(path):
    store = DiskStore(path, 2_000_000)
    keys = [i.to_bytes(20, "big") for i in range(1_000)]
    for start in range(0, 1_000, 50):
        some = keys[start : start + 50]
        assert store.reserve(some, 50 * 3_000)
        store.put((key, value(i, 3_000)) for i, key in enumerate(some))
        assert None not in store.get(some)
    assert path.stat().st_size <= 2_000_000
    # By what they take in the file, which is less than a page each.
    assert len(keys) - len(store.missing(keys)) > 150


def test_bytes_changed_anywhere(path):
    """Nothing that is read is wrong, and nothing but `StoreFailed` is raised."""
    store = DiskStore(path, 10**7)
    store.put((KEYS[i], value(i, 3_000)) for i in range(40))
    store.close()
    whole, chance = path.read_bytes(), random.Random(0)
    intact = failed = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(20):
            # Most of the file is values; the rest is what holds it together.
            page = chance.choice((0, *range(len(data) // 8192))) * 8192
            data[page + chance.choice((chance.randrange(120), 8191))] ^= 1 << (
                chance.randrange(8)
            )
        path.write_bytes(data)
        try:
            store = DiskStore(path, 10**7)
            found = store.get(KEYS)
            assert all(v in (None, value(i, 3_000)) for i, v in enumerate(found))
            intact += sum(v is not None for v in found)
            store.missing(KEYS)
            if store.reserve(KEYS[:5], 5_000):
                store.put([(KEYS[0], value(0, 3_000))])
                assert store.get(KEYS[:1]) == [value(0, 3_000)]
            store.close()
        except StoreFailed:
            failed += 1
    assert intact > 150 and failed > 20


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match="file/states.sqlite: .*File exists"):
        DiskStore(tmp_path / "file" / "states.sqlite", 10**7)


WRITER = """
import random, sys
from pathlib import Path
from adapters_tf.training.prefix_stores import DiskStore
store = DiskStore(Path(sys.argv[1]), 10**8)
for n in range(int(sys.argv[2])):
    some = random.sample(range(40), 3)
    store.put((bytes([i]) * 20, random.Random(i).randbytes(30_000)) for i in some)
    if n == 5:
        print("going", flush=True)
"""


def start(path, count):
    command = [sys.executable, "-P", "-c", WRITER, str(path), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def check(path):
    store = DiskStore(path, 10**8)
    found = store.get(KEYS)
    assert sum(v is not None for v in found) > 5
    assert all(v in (None, value(i)) for i, v in enumerate(found))
    assert [k for k, v in zip(KEYS, found, strict=True) if v is None] == [
        k for k in KEYS if k in store.missing(KEYS)
    ]
    store.close()


@pytest.mark.slow
def test_killed_while_writing(path, warnings):
    for seconds in (0.0, 0.1, 0.25):
        process = start(path, 10**6)
        assert process.stdout.readline() == b"going\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        check(path)
    assert not warnings()


@pytest.mark.slow
def test_two_processes_write_one_file(path, warnings):
    processes = [start(path, 60) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    check(path)
    assert not warnings()
