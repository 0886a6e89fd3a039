"""Files of torch: read to the bit, and nothing in them is run."""

import collections
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from adapters_tf.convert.files import read_tensors
from adapters_tf.convert.torch_files import read_torch_tensors, write_torch_tensors
from adapters_tf.errors import UserError

TENSORS = {
    "a.weight": np.arange(6, dtype="float32").reshape(2, 3),
    "b": np.array([1.5], "float32"),
    "scalar": np.array(7, "float32"),
    "empty": np.zeros((0, 4), "float32"),
}


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "pytorch_adapter.bin"
    write_torch_tensors(TENSORS, path)
    return path


def equal(one, other):
    assert list(one) == list(other)
    for name, value in one.items():
        assert value.dtype == other[name].dtype
        np.testing.assert_array_equal(value, other[name])


def test_what_is_written_is_read(written):
    equal(read_torch_tensors(written), TENSORS)


def test_equal_tensors_make_equal_files(written, tmp_path):
    write_torch_tensors(TENSORS, tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == written.read_bytes()


def test_a_transposed_array_is_written_in_its_order(tmp_path):
    value = np.arange(6, dtype="float32").reshape(2, 3).T
    write_torch_tensors({"a": value}, tmp_path / "file")
    np.testing.assert_array_equal(read_torch_tensors(tmp_path / "file")["a"], value)


def test_only_float32_is_written(tmp_path):
    with pytest.raises(TypeError, match="a must be float32. Received: float64"):
        write_torch_tensors({"a": np.zeros(2)}, tmp_path / "file")


def test_files_of_torch_are_read(fixtures):
    # The same tensors in both formats of torch.save.
    today = read_torch_tensors(fixtures / "houlsby" / "pytorch_adapter.bin")
    before = read_torch_tensors(fixtures / "legacy.bin")
    name = "bert.encoder.layer.1.output.adapters.films.adapter_up.weight"
    assert today[name].shape == (16, 8)
    assert len(today) == 16 and abs(float(today[name].std()) - 0.3) < 0.05
    equal(today, before)


# What a file of an attacker may hold.

ran = []


class Evil:
    """Unpickling it calls a function."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def archive(path, parts, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in parts.items():
            file.writestr(zipfile.ZipInfo(name), data, compression)
    return path


def protocol_2(value):
    return pickle.dumps(value, protocol=2)


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (Evil(os.system, "touch evil"), "posix.system"),
        (Evil(eval, "1"), "__builtin__.eval"),
        (Evil(getattr, "", "join"), "__builtin__.getattr"),
        ({"a": Evil(print, "evil")}, "__builtin__.print"),
        ({"a": np.ones(2)}, "numpy"),
        ({"a": collections.Counter()}, "collections.Counter"),
    ],
)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_pickle_that_calls_something_is_refused(
    payload, named, form, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    data = protocol_2(payload)
    path = tmp_path / "file"
    if form == "zip":
        archive(path, {"archive/data.pkl": data, "archive/version": b"3\n"})
    else:
        head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
        path.write_bytes(b"".join(map(protocol_2, head)) + data)
    with pytest.raises(UserError, match=f"asks for '{named}.* Nothing of it was run"):
        read_torch_tensors(path)
    assert not (tmp_path / "evil").exists()


def test_a_plain_pickle_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(protocol_2(Evil(os.system, "touch evil")))
    with pytest.raises(UserError, match="asks for 'posix.system'"):
        read_torch_tensors(tmp_path / "file")
    assert not (tmp_path / "evil").exists()
    (tmp_path / "file").write_bytes(protocol_2({"a": 1}))
    with pytest.raises(UserError, match="a pickle, and not of torch.save"):
        read_torch_tensors(tmp_path / "file")


def tensor(offset=0, shape=(2,), strides=(1,), key="0", count=2, kind="FloatStorage"):
    """The instructions of one tensor, as torch writes them."""
    from adapters_tf.convert.torch_files import _global, _integer, _integers, _text

    return b"".join(
        [
            _global("torch._utils", "_rebuild_tensor_v2") + pickle.MARK + pickle.MARK,
            _text("storage") + _global("torch", kind) + _text(key) + _text("cpu"),
            _integer(count) + pickle.TUPLE + pickle.BINPERSID + _integer(offset),
            _integers(shape) + _integers(strides) + pickle.NEWFALSE + pickle.NONE,
            pickle.TUPLE + pickle.REDUCE,
        ]
    )


def program(body, before=b""):
    """A pickle of a state dict with the tensor "a"."""
    from adapters_tf.convert.torch_files import _text

    out = pickle.PROTO + b"\x02" + before + pickle.EMPTY_DICT + pickle.MARK
    return out + _text("a") + body + pickle.SETITEMS + pickle.STOP


NUMBERS = struct.pack("<2f", 1, 2)


def test_the_instructions_of_these_tests_are_right(tmp_path):
    parts = {"x/data.pkl": program(tensor()), "x/data/0": NUMBERS}
    read = read_torch_tensors(archive(tmp_path / "file", parts))
    np.testing.assert_array_equal(read["a"], [1, 2])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shape": (3,)}, "tensor 'a' is larger than its numbers"),
        ({"offset": 1}, "tensor 'a' is larger than its numbers"),
        ({"shape": (2**31 - 1, 2**31 - 1), "strides": (0, 0)}, "larger than its numb"),
        ({"strides": (-1,)}, "a tensor of impossible form"),
        ({"offset": -1}, "a tensor of impossible form"),
        ({"shape": (2, 1)}, "a tensor of impossible form"),
        ({"shape": (1,) * 9, "strides": (1,) * 9}, "a tensor of impossible form"),
        ({"count": 3}, "part 0 is not of the size that is said"),
        ({"count": -2}, "part 0 is not of the size that is said"),
        ({"kind": "DoubleStorage"}, "part 0 is not of the size that is said"),
        ({"kind": "QInt8Storage"}, "asks for 'torch.QInt8Storage'"),
        ({"key": "1"}, "lacks its part data/1"),
        ({"key": "../../etc/passwd"}, "storages have other names than torch gives"),
        ({"key": "/etc/passwd"}, "storages have other names than torch gives"),
    ],
)
def test_tensors_that_lie_are_refused(changed, message, tmp_path):
    parts = {"x/data.pkl": program(tensor(**changed)), "x/data/0": NUMBERS}
    path = archive(tmp_path / "file", parts)
    with pytest.raises(UserError, match=message):
        read_torch_tensors(path)


def shared(tmp_path, names):
    """A file of 64 KiB of numbers that all these tensors have, and one more tensor."""
    from adapters_tf.convert.torch_files import _text

    numbers = np.arange(2**14, dtype="<f4")
    body = tensor(shape=(2**14,), count=2**14)
    parts = b"".join(_text(name) + body for name in names[:-1])
    parts += _text("other") + tensor(key="1") + _text(names[-1]) + body
    data = pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK + parts
    data += pickle.SETITEMS + pickle.STOP
    files = {"x/data.pkl": data, "x/data/0": numbers.tobytes(), "x/data/1": NUMBERS}
    return archive(tmp_path / "file", files), numbers


def test_shared_numbers_are_read_once(tmp_path, monkeypatch):
    # As the embeddings and the output layer of a language model share them.
    path, numbers = shared(tmp_path, ["a", "b", "c"])
    names, read = [], zipfile.ZipFile.read

    def counted(self, name, *args):
        names.append(name)
        return read(self, name, *args)

    monkeypatch.setattr(zipfile.ZipFile, "read", counted)
    tensors = read_torch_tensors(path)
    assert list(tensors) == ["a", "b", "other", "c"]
    assert names.count("x/data/0") == names.count("x/data/1") == 1
    for name in ("a", "b", "c"):
        np.testing.assert_array_equal(tensors[name], numbers)
    tensors["a"][0] = 7
    assert tensors["b"][0] == 0


def test_numbers_that_many_tensors_share_are_refused(tmp_path):
    # 19 MiB of tensors in a file of 0.1 MB; a larger one would fill the memory.
    path, _ = shared(tmp_path, [f"tensor {i}" for i in range(300)])
    assert path.stat().st_size < 150_000
    with pytest.raises(
        UserError, match="more than 4 times as large as it, with 300 that share part 0"
    ):
        read_torch_tensors(path)


def test_a_pickle_cannot_change_what_it_was_given(tmp_path):
    # BUILD sets attributes: here of the tensor that was just made.
    state = protocol_2({"shape": (10**9,)})[2:-1]
    body = tensor() + state + pickle.BUILD
    parts = {"x/data.pkl": program(body), "x/data/0": NUMBERS}
    path = archive(tmp_path / "file", parts)
    with pytest.raises(UserError, match="is damaged or is no file of torch.save"):
        read_torch_tensors(path)


def test_a_pickle_cannot_ask_for_much_memory(tmp_path):
    # The unpickler would make a list of 2**32 entries.
    put = pickle.NONE + pickle.LONG_BINPUT + struct.pack("<I", 2**31) + pickle.POP
    parts = {"x/data.pkl": program(tensor(), before=put), "x/data/0": NUMBERS}
    path = archive(tmp_path / "file", parts)
    with pytest.raises(UserError, match="asks for more memory than it is large"):
        read_torch_tensors(path)


GOOD = {"x/data.pkl": program(tensor()), "x/data/0": NUMBERS}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({**GOOD, "../evil": b""}, "part '../evil' points outside"),
        ({**GOOD, "/etc/evil": b""}, "part '/etc/evil' points outside"),
        ({**GOOD, "x/..\\evil": b""}, "points outside"),
        ({**GOOD, "C:/evil": b""}, "points outside"),
        ({**GOOD, "y/data.pkl": b""}, "it has no one data.pkl"),
        ({"word/document.xml": b""}, "it has no one data.pkl"),
        ({**GOOD, "x/constants.pkl": b""}, "TorchScript, a program"),
        ({**GOOD, "x/byteorder": b"big"}, "big-endian"),
        ({"x/data.pkl": GOOD["x/data.pkl"]}, "lacks its part data/0"),
        ({"x/data.pkl": protocol_2([1])}, "holds a list and no named tensors"),
        ({"x/data.pkl": protocol_2({})}, "holds a dict and no named tensors"),
        ({"x/data.pkl": protocol_2({"a": 1})}, "entry 'a' is a int and no tensor"),
        ({"x/data.pkl": protocol_2({1: 1})}, "entry '\\?' is a int and no tensor"),
    ],
)
def test_archives_of_another_form_are_refused(parts, message, tmp_path):
    with pytest.raises(UserError, match=message):
        read_torch_tensors(archive(tmp_path / "file", parts))


def test_compressed_archives_are_refused(tmp_path):
    # A megabyte of zeros would be a kilobyte of file, and so on.
    path = archive(tmp_path / "file", GOOD, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="part 'x/data.pkl' is not plainly stored"):
        read_torch_tensors(path)


def test_an_archive_whose_sizes_lie_is_refused(written):
    data = bytearray(written.read_bytes())
    # The central directory's entry of data/0: compressed and real size.
    place = data.rindex(b"archive/data/0") - 46 + 20
    struct.pack_into("<II", data, place, 2**30, 2**30)
    written.write_bytes(data)
    with pytest.raises(UserError, match="parts are said to be larger than the file"):
        read_torch_tensors(written)
    struct.pack_into("<II", data, place, 28, 28)  # longer than what is there
    written.write_bytes(data)
    with pytest.raises(UserError, match="damaged|not of the size that is said"):
        read_torch_tensors(written)


def test_two_parts_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "file", "w") as file:
        for name in ("x/data.pkl", "x/data/0", "x/data/1"):
            file.writestr(name, GOOD.get(name, NUMBERS))
    data = (tmp_path / "file").read_bytes().replace(b"x/data/1", b"x/data/0")
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(UserError, match="several parts of one name"):
        read_torch_tensors(tmp_path / "file")


@pytest.mark.parametrize("keep", [0, 1, 50, 300, -30])
def test_damaged_files_are_refused(written, keep):
    written.write_bytes(written.read_bytes()[:keep])
    with pytest.raises(UserError, match="pytorch_adapter.bin"):
        read_torch_tensors(written)


def test_a_flipped_bit_is_found(written):
    data = bytearray(written.read_bytes())
    data[data.index(struct.pack("<f", 5))] ^= 1
    written.write_bytes(data)
    with pytest.raises(UserError, match="is damaged .*BadZipFile"):
        read_torch_tensors(written)


@pytest.mark.parametrize("keep", [-1, -200, 900])
def test_damaged_legacy_files_are_refused(fixtures, tmp_path, keep):
    data = (fixtures / "legacy.bin").read_bytes()
    (tmp_path / "file").write_bytes(data[:keep])
    with pytest.raises(UserError, match="damaged|not those of its tensors"):
        read_torch_tensors(tmp_path / "file")
    (tmp_path / "file").write_bytes(data + b"\0")
    with pytest.raises(UserError, match="numbers are not those of its tensors"):
        read_torch_tensors(tmp_path / "file")


# Directories.


def test_the_safe_file_goes_first(tmp_path, written):
    safe = {"s": np.array([1, 2], "float16")}
    safetensors.numpy.save_file(safe, tmp_path / "adapter.safetensors")
    read = read_tensors(tmp_path, ["adapter.safetensors", "pytorch_adapter.bin"])
    equal(read, {"s": np.array([1, 2], "float32")})
    read = read_tensors(tmp_path, ["other.safetensors", "pytorch_adapter.bin"])
    equal(read, TENSORS)


def test_bfloat16_in_safetensors(tmp_path):
    bits = np.array([0x3FC0, 0xC000], "<u2")  # 1.5 and -2
    header = b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    data = struct.pack("<Q", len(header)) + header + bits.tobytes()
    (tmp_path / "a.safetensors").write_bytes(data)
    read = read_tensors(tmp_path, ["a.safetensors"])
    equal(read, {"a": np.array([1.5, -2], "float32")})


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_numbers_must_be_finite(tmp_path, bad):
    safetensors.numpy.save_file({"a": np.array([1, bad])}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="finite numbers that float32 can hold.* a of"):
        read_tensors(tmp_path, ["a.safetensors"])


def test_what_is_missing_is_named(tmp_path, written):
    names = ["adapter.safetensors", "x.bin"]
    with pytest.raises(UserError, match="or x.bin.*holds .'pytorch_adapter.bin'.$"):
        read_tensors(tmp_path, names)
    with pytest.raises(UserError, match="which is no directory"):
        read_tensors(tmp_path / "none", names)
    (tmp_path / "adapter.safetensors").write_bytes(b"12345678")
    with pytest.raises(UserError, match="adapter.safetensors' is damaged"):
        read_tensors(tmp_path, names)
