"""adapters-tf-inspect and adapters-tf-edit from the command line's end."""

import json

import numpy as np
import pytest

import adapters_tf
from adapters_tf.bin import edit, inspect_adapter

TASK = {"name": "mood", "kind": "classification", "labels": ["sad", "glad"]}
TASK |= {"text_columns": ["text"], "metrics": ["accuracy"]}


@pytest.fixture(scope="module")
def saved(tiny_preset, tmp_path_factory):
    """Directories of two adapters of one form."""
    model = adapters_tf.build_model(
        "classification",
        tiny_preset,
        adapters_tf.AdapterConfig(2),
        seq_length=16,
        head={"num_classes": 2},
    )
    directory = tmp_path_factory.mktemp("saved")
    paths = []
    for name in ("one", "other"):
        random = np.random.default_rng(len(paths))
        for variable in model.trainable_variables:
            variable.assign(random.normal(0, 0.3, variable.shape))
        adapter = model.get_adapter(
            preset=tiny_preset, task=TASK, seq_length=16, metrics={"accuracy": 0.75}
        )
        adapters_tf.save_adapter(adapter, directory / name)
        paths.append(str(directory / name))
    return paths


def test_inspect(saved, call, capsys, tiny_preset):
    assert call(inspect_adapter, f"--adapter={saved[0]}") == 0
    printed = capsys.readouterr().out
    lines = [line.split(maxsplit=1) for line in printed.splitlines() if line]
    said = {words[0]: words[1] for words in lines if len(words) == 2}
    assert said["task"] == "mood, classification"
    assert said["labels"] == "sad, glad"
    assert said["metrics"] == "accuracy 0.7500"
    assert said["tuning"] == "adapters"
    assert said["base"] == tiny_preset
    assert "bottleneck_dim=2" in said["adapters"]
    assert "sublayers=attention+feed_forward" in said["adapters"]
    (norms,) = [line for line in printed.splitlines() if "LayerNorms" in line]
    assert norms.split() == ["LayerNorms", "160"]
    assert "adapters-tf 0.1.0" in said["versions"]
    assert "adapter.safetensors  " in printed and "sha256:" in printed
    assert "logits/kernel" not in printed
    assert call(inspect_adapter, f"--adapter={saved[0]}", "--tensors") == 0
    assert "logits/kernel" in capsys.readouterr().out
    assert call(inspect_adapter, f"--adapter={saved[0]}", "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert value["parts"]["LayerNorms"] == 160


def test_compare(saved, call, capsys):
    one, other = saved
    assert call(inspect_adapter, f"--adapter={one}", f"--other={one}") == 0
    assert capsys.readouterr().out == "The tensors are equal to the bit.\n"
    assert call(inspect_adapter, f"--adapter={one}", f"--other={other}") == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split()[:2] == ["part", "parameters"]
    assert "adapter of block 0, attention" in printed and "%" in printed
    flags = [f"--adapter={one}", f"--other={other}", "--json"]
    assert call(inspect_adapter, *flags) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["same_tensors"] is False and len(value["parts"]) == 6


def test_average_and_interpolate(saved, call, capsys, tmp_path):
    one, other = (adapters_tf.load_adapter(path) for path in saved)
    path = "logits/kernel"
    flags = [f"--adapters={','.join(saved)}", f"--output_dir={tmp_path / 'mean'}"]
    assert call(edit, "average", *flags, "--weights=0.25,0.75") == 0
    command = f"adapters-tf-evaluate --adapter={tmp_path / 'mean'} --file=test.csv\n"
    assert command in capsys.readouterr().out
    expected = 0.25 * one.tensors[path] + 0.75 * other.tensors[path]
    mean = adapters_tf.load_adapter(tmp_path / "mean")
    np.testing.assert_allclose(mean.tensors[path], expected, atol=1e-6)
    # Not replaced unasked.
    assert call(edit, "average", *flags) == 2
    assert "saved to a new directory" in capsys.readouterr().err
    assert call(edit, "average", *flags, "--overwrite") == 0
    flags = [f"--adapter={saved[0]}", f"--other={saved[1]}", "--share=0.75"]
    assert call(edit, "interpolate", *flags, f"--output_dir={tmp_path / 'p'}") == 0
    point = adapters_tf.load_adapter(tmp_path / "p")
    np.testing.assert_array_equal(point.tensors[path], mean.tensors[path])


def test_prune(saved, call, capsys, tmp_path):
    spans = [
        {"first": 0, "last": 0, "dev": {"accuracy": 0.5}},
        {"first": 1, "last": 1, "dev": {"accuracy": 0.7}},
    ]
    found = {"kind": "layer_ablation", "task": "mood", "metric": "accuracy"}
    found |= {"num_layers": 2, "adapter": "x", "dev_rows": 10, "spans": spans}
    found |= {"full": {"accuracy": 0.75}, "majority_baseline": {"accuracy": 0.5}}
    file = tmp_path / "ablation.json"
    file.write_text(json.dumps(found))
    flags = [f"--adapter={saved[0]}", f"--ablation={file}", "--count=1"]
    assert call(edit, "prune", *flags, f"--output_dir={tmp_path / 'a'}") == 0
    printed = capsys.readouterr().out
    assert "block 1: accuracy 0.7500 -> 0.7000 without its adapters alone" in printed
    # 4 adapters of 82, 5 LayerNorms of 32, a head of 34; less two adapters.
    assert f"{tmp_path / 'a'}: 358 parameters" in printed
    assert adapters_tf.load_adapter(tmp_path / "a").adapter.layers == (0,)
    flags = [f"--adapter={saved[0]}", "--layers=0", f"--output_dir={tmp_path / 'b'}"]
    assert call(edit, "prune", *flags) == 0
    assert adapters_tf.load_adapter(tmp_path / "b").adapter.layers == (1,)


@pytest.mark.parametrize(
    ("program", "args", "message"),
    [
        (inspect_adapter, (), "--adapter is needed"),
        (inspect_adapter, ("--adapter=/none",), "'/none', which is not a directory"),
        (edit, ("averge",), "Did you mean 'average'?"),
        (edit, ("average", "--output_dir=x"), "--adapters is needed"),
        (
            edit,
            ("average", "--adapters=a", "--weights=a", "--output_dir=x"),
            "--weights takes numbers with commas between them. Received: a",
        ),
        (
            edit,
            ("prune", "--adapter=a", "--layers=a", "--output_dir=x"),
            "--layers takes whole numbers",
        ),
        (
            edit,
            ("prune", "--adapter=a", "--count=1", "--output_dir=x"),
            "Give --ablation and --count, or --layers",
        ),
        (
            edit,
            ("prune", "--adapter=a", "--ablation=a", "--output_dir=x"),
            "Give --ablation and --count, or --layers",
        ),
    ],
)
def test_command_lines_that_are_refused(program, args, message, call, capsys):
    assert call(program, *args) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_help(call, capsys):
    assert call(inspect_adapter, "--help") == 0
    assert "--other" in capsys.readouterr().out
    for job in edit.JOBS:
        assert call(edit, job.name, "--help") == 0
        assert "--output_dir" in capsys.readouterr().out
