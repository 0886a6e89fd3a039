"""The real library loads what we write, and computes with it what we compute."""

import numpy as np
import pytest

import adapters_tf
from adapters_tf.convert import convert_from_adapterhub, convert_to_adapterhub
from adapters_tf.convert.adapterhub import TAKEN_NAMES
from adapters_tf.convert.torch_files import read_torch_tensors, write_torch_tensors
from adapters_tf.errors import UserError
from adapters_tf.models.task import Task

# In one file, as the environment of the library is made once for each process.
pytestmark = [pytest.mark.checks, pytest.mark.peer, pytest.mark.slow]

MOODS = Task("my moods", "classification", ("text",), ("sad", "glad")).to_dict()
# Of --train_file=train.csv: the library cannot hold an adapter of that name.
SCORE = Task("train", "regression", ("text",), (), ("spearman",)).to_dict()
SQUAD = Task("squad", "question_answering", ("question", "context")).to_dict()
GENRES = Task("genres", "multi_label", ("text",), ("war", "love")).to_dict()
NAMES = Task("names", "token_classification", ("0",), ("O", "B-PER", "I-PER")).to_dict()

OUTPUTS = """
import sys
import make_fixtures as m, numpy as np
from adapters import BertAdapterModel
base, out, act, *folders = sys.argv[1:]
arrays = {}
for folder in folders:
    for safe in (False, True):
        net = BertAdapterModel.from_pretrained(base, hidden_act=act)
        info = {}
        net.load_adapter(
            folder, set_active=True, use_safetensors=safe, loading_info=info
        )
        assert not info["missing_keys"] and not info["unexpected_keys"], info
        arrays[folder + str(safe)] = m.outputs(net, m.random_inputs())
        print(net.active_head, net.heads[net.active_head].config)
np.savez(out, **arrays)
"""


def test_it_computes_with_what_came_from_it(
    imported, fixtures, cases, tmp_path, peer, expected
):
    folders = [tmp_path / f"hub_{case}" for case in cases]
    for case, folder in zip(cases, folders, strict=True):
        convert_to_adapterhub(imported(case), folder)
    peer(OUTPUTS, fixtures / "base", tmp_path / "out.npz", "gelu", *folders)
    outputs = np.load(tmp_path / "out.npz")
    for case, folder in zip(cases, folders, strict=True):
        for safe in (False, True):
            np.testing.assert_allclose(
                outputs[f"{folder}{safe}"], expected[case], rtol=0, atol=2e-5
            )


# Task, adapters, head, and the type of head that the library makes of it.
OURS = (
    (
        MOODS,
        {"bottleneck_dim": 7},
        {"num_classes": 2, "head_input": "pooled"},
        "classification",
    ),
    (
        MOODS,
        {"bottleneck_dim": 3, "reads_layer_norm": True, "activation": "gelu"},
        {"num_classes": 2},
        "classification",
    ),
    (
        SCORE,
        {"bottleneck_dim": None, "reduction_factor": 3, "layers": [1]},
        {"head_input": "cls"},
        "classification",
    ),
    (
        SQUAD,
        {"sublayers": ["attention"], "activation": "mish"},
        None,
        "question_answering",
    ),
    (
        GENRES,
        {"bottleneck_dim": 5},
        {"num_classes": 2, "head_input": "pooled"},
        "multilabel_classification",
    ),
    (NAMES, {"bottleneck_dim": 5}, {"num_classes": 3}, "tagging"),
)


def test_it_computes_what_adapters_of_ours_do(made, fixtures, tmp_path, peer, inputs):
    expected, lines = {}, []
    for number, (task, adapter, head, _) in enumerate(OURS):
        # On keras-hub's base, which computes the tanh form.
        model, path = made(
            task, adapters_tf.AdapterConfig(**adapter), head, str(fixtures / "base")
        )
        folder = tmp_path / f"hub_{number}"
        convert_to_adapterhub(path, folder, say=lines.append)
        expected[folder] = np.asarray(model(inputs))
    assert set(lines) == {
        "The base computes the tanh form of GELU. For the same outputs load it there "
        "with from_pretrained(..., hidden_act='gelu_new').",
        "Its name there is train-task: torch keeps train for itself.",
    }
    said = peer(
        OUTPUTS, fixtures / "base", tmp_path / "out.npz", "gelu_new", *expected
    ).splitlines()
    outputs = np.load(tmp_path / "out.npz")
    for (task, *_, head_type), pair, (folder, ours) in zip(
        OURS, zip(said[::2], said[1::2], strict=True), expected.items(), strict=True
    ):
        for line, safe in zip(pair, (False, True), strict=True):
            assert f"'head_type': '{head_type}'" in line
            if task is MOODS:
                assert "my-moods" in line
                assert "'label2id': {'glad': 1, 'sad': 0}" in line
            assert (task is SCORE) == ("train-task" in line)
            theirs = outputs[f"{folder}{safe}"].reshape(ours.shape)
            if task is SQUAD:
                mask = inputs["padding_mask"][:, :, None]
                theirs, ours = theirs * mask, ours * mask
            assert np.abs(theirs).max() > 0.3
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)


def test_names_that_torch_has_in_use(peer):
    code = "import torch; print(*dir(torch.nn.ModuleDict()))"
    names = {name for name in peer(code).split() if not name.startswith("_")}
    assert names <= TAKEN_NAMES and {"train", "to"} <= names
    code = """
import sys, torch
for name in sys.argv[1:]:
    modules = torch.nn.ModuleDict()
    try:
        modules[name] = torch.nn.Linear(1, 1)
    except KeyError as error:
        print(name, error)
"""
    said = peer(code, "train", "_apply", "__dict__", "train-task", "Train", "x_")
    assert [line.split()[0] for line in said.splitlines()] == [
        *("train", "_apply", "__dict__")
    ]


STATIC_HEADS = """
import sys
from pathlib import Path
import adapters, make_fixtures as m, numpy as np, torch, transformers
base, folder, out, *classes = sys.argv[1:]
arrays = {}
for seed, (name, labels) in enumerate(c.split("=") for c in classes):
    labels = {label: i for i, label in enumerate(labels.split(","))}
    names = {i: label for label, i in labels.items()}
    config = transformers.BertConfig(**m.SIZES, id2label=names, label2id=labels)
    net = getattr(transformers, name).from_pretrained(base, config=config)
    adapters.init(net)
    net.add_adapter("mine", config=adapters.DoubleSeqBnConfig(reduction_factor=4))
    net.set_active_adapters("mine")
    parts = {
        k.replace(".", "_"): v
        for k, v in net.named_modules()
        if k.endswith("adapters.mine") or k in ("classifier", "qa_outputs")
    }
    m.randomize(torch.nn.ModuleDict(parts), seed)
    case = f"{name}_{len(labels)}"
    net.save_adapter(str(Path(folder, case)), "mine", with_head=True)
    arrays[case] = m.outputs(net, m.random_inputs())
np.savez(out, **arrays)
"""


def test_heads_of_transformers_own_classes(base, fixtures, tmp_path, peer, inputs):
    cases = {
        "BertForSequenceClassification_3": ("classification", ("bad", "so-so", "good")),
        "BertForSequenceClassification_1": ("regression", ("LABEL_0",)),
        "BertForTokenClassification_3": ("token_classification", ("O", "B-X", "I-X")),
        "BertForQuestionAnswering_2": ("question_answering", ("a", "b")),
    }
    arguments = [f"{k[:-2]}={','.join(labels)}" for k, (_, labels) in cases.items()]
    out = tmp_path / "out.npz"
    peer(STATIC_HEADS, fixtures / "base", tmp_path, out, *arguments)
    for case, theirs in np.load(out).items():
        kind, labels = cases[case]
        folder = tmp_path / f"ours_{case}"
        convert_from_adapterhub(tmp_path / case, base, folder, seq_length=12)
        adapter = adapters_tf.load_adapter(folder)
        assert (adapter.kind, adapter.task["name"]) == (kind, "mine")
        if "num_classes" in adapter.head:
            assert adapter.task["labels"] == list(labels)
        ours = np.asarray(adapters_tf.load_model(folder)(inputs))
        theirs = theirs.reshape(ours.shape)
        assert np.abs(theirs).max() > 0.3
        mask = inputs["padding_mask"][:, :, None] if ours.ndim == 3 else 1
        np.testing.assert_allclose(ours * mask, theirs * mask, rtol=0, atol=2e-5)


def test_torch_reads_what_we_write_and_we_read_what_it_writes(peer, tmp_path):
    tensors = {
        "a.weight": np.arange(6, dtype="float32").reshape(2, 3),
        "b": np.array([1.5], "float32"),
        "scalar": np.array(7, "float32"),
        "empty": np.zeros((0, 4), "float32"),
    }
    written = tmp_path / "pytorch_adapter.bin"
    write_torch_tensors(tensors, written)
    code = """
import sys, numpy, torch
state = torch.load(sys.argv[1], weights_only=True)
assert all(type(v) is torch.Tensor and v.is_contiguous() for v in state.values())
numpy.savez(sys.argv[2], **{k: v.numpy() for k, v in state.items()})
made = {
    "half": torch.tensor([0.1, -2.0, 65504.0]).half(),
    "bfloat16": torch.tensor([0.1, -2.0, 3e38]).bfloat16(),
    "double": torch.tensor([[0.1, 0.2]], dtype=torch.float64),
    "ids": torch.arange(3),
    "flags": torch.tensor([True, False]),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "part": torch.arange(10.0)[2:8:2],
    "parameter": torch.nn.Parameter(torch.ones(2)),
}
module = torch.nn.Linear(2, 3)
torch.save(made, sys.argv[3])
torch.save(made, sys.argv[4], _use_new_zipfile_serialization=False)
torch.save(module.state_dict(), sys.argv[5])
numpy.savez(sys.argv[6], **{k: v.detach().float().numpy() for k, v in made.items()})
torch.save(module, sys.argv[7])
torch.save({"made": made}, sys.argv[8])
"""
    names = ("a.npz", "new", "old", "state", "b.npz", "module", "nested")
    paths = [tmp_path / name for name in names]
    peer(code, written, *paths)
    for name, value in np.load(paths[0]).items():
        np.testing.assert_array_equal(value, tensors[name])
    expected = np.load(paths[4])
    for path in paths[1:3]:
        made = read_torch_tensors(path)
        assert list(made) == list(expected)
        assert made["double"].dtype == np.float64 and made["ids"].dtype == np.int64
        for name, value in made.items():
            np.testing.assert_array_equal(value.astype("float32"), expected[name])
    # An OrderedDict with attributes, as every module gives it.
    assert {k: v.shape for k, v in read_torch_tensors(paths[3]).items()} == {
        "weight": (3, 2),
        "bias": (3,),
    }
    with pytest.raises(UserError, match="asks for 'torch.nn.modules.linear.Linear'"):
        read_torch_tensors(paths[5])
    with pytest.raises(UserError, match="whose entry 'made' is a dict and no tensor"):
        read_torch_tensors(paths[6])
