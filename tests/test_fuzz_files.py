"""Every file that is read, changed at random: it is taken, or refused clearly.

Run by hand, this makes more changes of each file: python tests/test_fuzz_files.py 10000
"""

import copy
import hashlib
import json
import pathlib
import random
import sys
import tempfile

import numpy as np
import pytest
import safetensors.numpy

from adapters_tf.convert.files import read_tensors
from adapters_tf.convert.torch_files import write_torch_tensors
from adapters_tf.data.files import FileFormat
from adapters_tf.errors import UserError
from adapters_tf.export.describe import read_servable_json
from adapters_tf.models.adapter import check_exportable
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.models.model_card import model_card
from adapters_tf.models.task import Task
from adapters_tf.study.ablation import read_ablations
from adapters_tf.study.results import read_results
from adapters_tf.study.sweep import Sweep, read_sweep
from adapters_tf.tasks.file_task import load_file_task
from adapters_tf.training.run_dir import History, check_run

OLD = pathlib.Path(__file__).parent / "format_1"
MUTATIONS = 60
VALUES = (
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 10**30, 2**63, float("nan"), 1e308),
    *("", " ", "a", "0", "x" * 300, "\ud800", "\0", "é\n", [], {}, [[]], [None]),
    *([1], ["a", "a"], {"a": None}, {"": ""}, [{}], {"index": 0}),
)
# What a mutation of a text inserts.
PIECES = (
    b"\0",
    b"\xff",
    b'"',
    b",",
    b"\t",
    b"\n",
    b"\r",
    b"\\",
    b"{",
    b"]",
    b"[" * 3000,
)
TENSORS = {
    "a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.ones(3, np.float32),
}
ABLATION = {
    "kind": "layer_ablation",
    "task": "t",
    "metric": "f1",
    "num_layers": 2,
    "full": {"f1": 0.9},
    "dev_rows": 10,
    "adapter": "a",
    "base_fingerprint": "sha256:00",
    "majority_baseline": {"f1": 0.1},
    "spans": [{"first": 0, "last": 0, "dev": {"f1": 0.5}}],
}
RESULT = {
    "task": "rte",
    "method": "adapters",
    "learning_rate": 1e-3,
    "bottleneck_dim": 8,
    "metric": "accuracy",
    "score": 0.5,
    "dev": {"accuracy": 0.5},
    "majority_baseline": {"accuracy": 0.4},
    "trained_parameters": 10,
    "base_parameters": 100,
    "train_rows": 5,
    "dev_rows": 5,
    "seconds": 1.0,
}
SWEEP = {
    "tasks": ["rte", {"name": "own", "train_file": "a.csv", "label_columns": ["l"]}],
    "grid": [{"method": "adapters", "learning_rate": [1e-4], "bottleneck_dim": [8]}],
    "seeds": [0, 1],
    "seq_length": 64,
}
SERVABLE = {
    "format_version": 1,
    "base_shard_sha256": "00",
    "base_fingerprint": "sha256:00",
    "seq_length": 16,
    "task_signatures": True,
    "tasks": {"a": {"index": 0, "kind": "classification", "labels": ["x", "y"]}},
}


# === Mutations ===


def change_bytes(data, rng):
    """A text or binary file with one to three bytes or pieces changed."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        what = rng.randrange(5)
        if what == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif what == 1:
            del data[at : at + rng.choice((1, 4, 100))]
        elif what == 2:
            data[at:at] = rng.choice(PIECES)
        elif what == 3:
            data[at:at] = data[at : at + rng.randint(1, 200)]
        else:
            del data[at:]
    return bytes(data)


def change_json(data, rng):
    """A JSON file with a value replaced, removed or doubled, or other bytes."""
    if rng.random() < 0.2:
        return change_bytes(data, rng)
    top = {"": json.loads(data)}
    for _ in range(rng.randint(1, 2)):
        places = list(_places(top))
        if not places:
            break
        holder, key = rng.choice(places)
        what = rng.randrange(6)
        if what == 0 and holder is not top:
            del holder[key]
        elif what == 1 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif what == 2 and isinstance(holder, dict) and holder is not top:
            holder[rng.choice(("", "extra", "x" * 300))] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
    return json.dumps(top[""]).encode()


def _places(value):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


# === Files ===


def use_adapter(path):
    """What programs do with an adapter before they load its base."""
    adapter = load_adapter(path.parent)
    model_card(adapter)
    Task.from_dict(adapter.task)
    check_exportable(adapter)


def adapter_file(name):
    """An adapter's `adapter_config.json`."""

    def prepare(directory):
        for file in (OLD / name / "adapter").iterdir():
            (directory / file.name).write_bytes(file.read_bytes())
        return directory / "adapter_config.json"

    return prepare, change_json, use_adapter


def change_tensors(directory):
    """An adapter's tensors, with the hash in step."""
    path = adapter_file("classification")[0](directory)
    return path.with_name("adapter.safetensors")


def use_tensors(path):
    config = path.with_name("adapter_config.json")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    fields = json.loads(config.read_text()) | {"weights_sha256": digest}
    config.write_text(json.dumps(fields))
    use_adapter(path)


def new(name, data):
    """A file of this name and content."""

    def prepare(directory):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return path

    return prepare


def rows(name, **columns):
    """A file of training rows."""
    format = FileFormat(**columns) if columns else None
    return (
        new(name, (OLD / name).read_bytes()),
        change_json if name.endswith("json") else change_bytes,
        lambda path: load_file_task(str(path), None, format),
    )


def use_run(path):
    (path.parent / "checkpoints").mkdir(exist_ok=True)
    index = path.parent / "checkpoints" / "ckpt-1.index"
    index.write_bytes(0xDB4775248B80FB57.to_bytes(8, "little"))
    check_run(path.parent, {"seed": 0}, overwrite=False)


def use_history(path):
    history = History(path.parent, True, 1)
    if history.epochs:
        history.is_best({"f1": 0.7})


def torch_file(directory):
    write_torch_tensors(TENSORS, directory / "pytorch_adapter.bin")
    return directory / "pytorch_adapter.bin"


TENSORS_FILE = safetensors.numpy.save(TENSORS)
FILES = {
    **{
        f"adapter of {name}": adapter_file(name)
        for name in ("classification", "multi_label", "regression")
    },
    "adapter of question_answering": adapter_file("question_answering"),
    "adapter of token_classification": adapter_file("token_classification"),
    "adapter.safetensors": (change_tensors, change_bytes, use_tensors),
    "servable.json": (
        new("1/assets.extra/servable.json", SERVABLE),
        change_json,
        lambda path: read_servable_json(path.parent.parent),
    ),
    "settings.json": (new("settings.json", {"seed": 0}), change_json, use_run),
    "history.json": (
        new("history.json", {"epochs": [{"epoch": 1, "step": 2, "dev": {"f1": 0.5}}]}),
        change_json,
        use_history,
    ),
    "ablation": (new("a.json", ABLATION), change_json, lambda p: read_ablations([p])),
    "results": (new("r.jsonl", RESULT), change_json, lambda p: read_results([p])),
    "sweep": (
        new("s.json", SWEEP),
        change_json,
        lambda path: Sweep.from_dict(read_sweep(str(path))),
    ),
    "safetensors": (
        new("model.safetensors", TENSORS_FILE),
        change_bytes,
        lambda path: read_tensors(path.parent, [path.name]),
    ),
    "torch": (
        torch_file,
        change_bytes,
        lambda path: read_tensors(path.parent, [path.name]),
    ),
    "csv": rows("rows.csv", text_columns=("text",), label_columns=("label",)),
    "questions": rows("questions.json"),
    "conll": rows("words.conll"),
}


def fuzz(name, count, directory):
    """Reads a file with this many changes; the first one that is not refused clearly.

    Returns:
        The error and the content of the file, or `None`.
    """
    prepare, change, read = FILES[name]
    rng = random.Random(name)  # The same changes in every run.
    path = prepare(directory)
    data = path.read_bytes()
    for _ in range(count):
        content = change(data, rng)
        path.write_bytes(content)
        try:
            read(path)
        except UserError:
            continue
        except Exception as error:
            return error, content
    return None


@pytest.mark.parametrize("name", FILES)
def test_changed_file_is_taken_or_refused_clearly(name, tmp_path):
    found = fuzz(name, MUTATIONS, tmp_path)
    if found:
        raise AssertionError(f"Received: {found[1][:2000]!r}") from found[0]


def main(count):
    """Fuzz every file and print what is wrong; the number of files that fail."""
    failed = 0
    for name in FILES:
        with tempfile.TemporaryDirectory() as directory:
            found = fuzz(name, count, pathlib.Path(directory))
        print(f"{name}: {'ok' if found is None else repr(found)[:3000]}", flush=True)
        failed += found is not None
    return failed


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
