"""The three programs from the command line's end, in this process."""

import json
import os
import shutil
import stat

import pytest

from adapters_tf.bin import evaluate, predict, train
from adapters_tf.models.adapter_file import load_adapter

SMALL = (
    "--bottleneck_dim=4",
    "--head_input=mean",
    "--batch_size=16",
    "--learning_rate=2e-2",
    "--seq_length=16",
)


@pytest.fixture
def train_args(tiny_preset, sentiment_csv, tmp_path):
    run = tmp_path / "run"
    return [f"--preset={tiny_preset}", f"--train_file={sentiment_csv}", *SMALL], run


@pytest.fixture
def finished(whole, tmp_path):
    """A copy of the run that nothing happened to; see `run_flags`."""
    return shutil.copytree(whole, tmp_path / "run")


def test_train_evaluate_predict(call, train_args, sentiment_csv, tmp_path, capsys):
    args, run = train_args
    assert call(train, *args, f"--output_dir={run}") == 0
    printed = capsys.readouterr().out
    assert "trained for this task" in printed and "total for 9 tasks" in printed
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) >= {
        "dev",
        "majority_baseline",
        "trainable_parameters",
        "base_parameters",
        "steps",
        "examples_per_second",
        "seed",
    }
    # 180 of the 200 rows, 12 batches of 16: the 20 epochs that few rows have.
    assert metrics["steps"] == 240 and metrics["train_rows"] == 180
    # Two blocks of two adapters 2md + d + m, five LayerNorms, a head of 2.
    assert metrics["trainable_parameters"] == 4 * (2 * 4 * 16 + 16 + 4) + 5 * 32 + 34
    adapter = load_adapter(run / "adapter")
    assert adapter.task["labels"] == ["neg", "pos"]
    assert adapter.metrics == metrics["dev"]
    assert adapter.training["epochs"] == metrics["epochs"] == 20

    report = tmp_path / "report.json"
    status = call(
        evaluate,
        f"--adapter={run / 'adapter'}",
        f"--file={sentiment_csv}",
        f"--output={report}",
    )
    assert status == 0
    evaluated = json.loads(report.read_text())
    assert evaluated["rows"] == 200

    output = tmp_path / "predictions.jsonl"
    status = call(
        predict,
        f"--adapter={run / 'adapter'}",
        f"--file={sentiment_csv}",
        f"--output={output}",
    )
    assert status == 0
    records = [json.loads(line) for line in output.read_text().splitlines()]
    truth = [
        line.rsplit(",", 1)[1]
        for line in open(sentiment_csv).read().split()[2:]
        if "," in line
    ]
    assert len(records) == 200
    right = sum(r["label"] == t for r, t in zip(records, truth, strict=True)) / 200
    assert right == pytest.approx(evaluated["dev"]["accuracy"])
    # Of 20 dev rows chance says more than training; 180 of these it has learned.
    assert right > 0.65 > metrics["majority_baseline"]["accuracy"]


def test_finished_run_is_refused_and_replaced_on_demand(
    call, finished, run_flags, capsys
):
    args = run_flags(finished, "--seed=1", epochs=1)
    adapter = finished / "adapter" / "adapter.safetensors"
    before = adapter.read_bytes()
    assert call(train, *args) == 2
    assert "holds a finished run" in capsys.readouterr().err
    assert adapter.read_bytes() == before
    assert call(train, *args, "--overwrite") == 0
    assert adapter.read_bytes() != before


def test_overwritten_run_stays_where_the_new_one_cannot_start(
    call, finished, run_flags, capsys
):
    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    for flag, message in (
        ("--seq_length=513", "seq_length must be at most 32"),
        ("--preset=nowhere/at_all", "'nowhere/at_all' could not be loaded"),
        ("--adapter_layers=99", "indices of encoder blocks"),
    ):
        assert call(train, *run_flags(finished, "--overwrite", flag)) == 2
        assert message in capsys.readouterr().err
        after = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
        assert after == before


def test_same_seed_gives_the_same_bytes(call, train_args, tmp_path, use_new_models):
    args, _ = train_args
    weights = []
    for name, seed in (("a", 4), ("b", 3), ("c", 3)):
        if name == "c":
            use_new_models()
        run = tmp_path / name
        assert (
            call(train, *args, "--epochs=2", f"--seed={seed}", f"--output_dir={run}")
            == 0
        )
        weights.append((run / "adapter" / "adapter.safetensors").read_bytes())
    assert weights[1] == weights[2]
    assert weights[0] != weights[2]


@pytest.mark.parametrize("tuning", ["full", "top_n --top_n=1", "layer_norm", "head"])
def test_baselines_train_and_reload(call, train_args, tuning, sentiment_csv, tmp_path):
    args, run = train_args
    flags = f"--tuning={tuning}".split()
    assert call(train, *args, *flags, "--epochs=1", f"--output_dir={run}") == 0
    expected = json.loads((run / "metrics.json").read_text())
    assert expected["trainable_parameters"] <= expected["base_parameters"] + 34
    adapter = f"--adapter={run / 'adapter'}"
    assert call(evaluate, adapter, f"--file={sentiment_csv}") == 0


def test_flagfile(call, train_args, tmp_path):
    args, run = train_args
    flagfile = tmp_path / "flags.txt"
    flagfile.write_text("\n".join([*args, "--epochs=1", f"--output_dir={run}"]))
    assert call(train, f"--flagfile={flagfile}") == 0
    assert json.loads((run / "metrics.json").read_text())["steps"] == 12


@pytest.mark.parametrize("program", [train, evaluate, predict])
def test_help_is_short_and_grouped(call, program, capsys):
    assert call(program, "--help") == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 70
    assert max(map(len, text.splitlines())) <= 88
    assert "\nOutput:\n" in text and "--flagfile" in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--train_file=missing.csv"], "missing.csv"),
        (["--text_columns=txt"], "txt"),
        (["--label_column=lable"], "lable"),
        (["--task=colla", "--train_file="], "Did you mean 'cola'"),
        (["--task=cola"], "one of --task and --train_file"),
        (["--preset=/nowhere/at/all"], "could not be loaded"),
        (["--bottleneck_dim=0"], "bottleneck_dim must be a positive integer"),
        (["--epochs=0"], "epochs must be 1 or more"),
        (["--learning_rate=0"], "learning_rate must be above 0"),
        (["--tuning=top_n"], "top_n, a number of encoder blocks"),
        (["--tuning=top_n", "--top_n=3"], "from 1 to the number of encoder blocks, 2"),
        (["--tuning=lora"], "lora"),
        (["--adapter_layers=0,x"], "adapter_layers must be block numbers"),
        (["--adapter_layers=5"], "indices of encoder blocks, from 0 to 1"),
        (["--adapter_sublayers=ffn"], "sublayers must name one or both"),
        (["--seq_length=4"], "--seq_length must be 8 or more"),
        (["--seq_length=64"], "at most 32"),
        (["--distribution_strategy=tpu"], "No TPU was found on this machine"),
        (["--distribution_strategy=ps"], "should be one of <off|one_device"),
        (["--max_train_examples=0"], "max_train_examples must be 1 or more"),
        (["--dev_fraction=1.5"], "1.5"),
        (["--precision=float16"], "float16"),
        (["--batch_sise=3"], "batch_sise"),
        (["extra"], "Options begin with --name"),
    ],
)
def test_bad_input_is_refused(call, train_args, flags, message, capsys):
    args, run = train_args
    assert call(train, *args, *flags, f"--output_dir={run}") == 2
    error = capsys.readouterr().err
    assert error.count("error: ") == 1 and message in error
    assert "Traceback" not in error
    assert not (run / "metrics.json").exists() and not (run / "adapter").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_place_is_refused(call, train_args, tmp_path, capsys):
    args, _ = train_args
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert call(train, *args, f"--output_dir={place / 'run'}") == 2
    assert "must be a directory that can be written" in capsys.readouterr().err


def test_output_dir_that_is_a_file_is_refused(call, train_args, tmp_path, capsys):
    args, _ = train_args
    place = tmp_path / "file"
    place.write_text("mine")
    assert call(train, *args, f"--output_dir={place}") == 2
    assert "must be a directory that can be written" in capsys.readouterr().err
    assert place.read_text() == "mine"


def test_directory_of_something_else_is_refused(call, train_args, tmp_path, capsys):
    args, run = train_args
    run.mkdir()
    (run / "thesis.txt").write_text("mine")
    assert call(train, *args, f"--output_dir={run}", "--overwrite") == 2
    assert "holds other files: thesis.txt" in capsys.readouterr().err
    assert os.listdir(run).count("thesis.txt") == 1


def test_diverging_run_stops_and_says_where(call, train_args, capsys):
    args, run = train_args
    args += ["--epochs=1", "--checkpoint_interval=1", f"--output_dir={run}"]
    args += ["--steps_per_loop=1"]  # The first step has no rate yet, and is saved.
    assert call(train, *args, "--learning_rate=1e38") == 2
    error = capsys.readouterr().err
    assert "must stay finite. Received: NaN or infinity at step " in error
    assert "A lower --learning_rate" in error and "Traceback" not in error
    assert "with another output_dir or --overwrite" in error
    assert not (run / "metrics.json").exists() and not (run / "adapter").exists()

    assert call(train, *args) == 2
    assert "learning_rate was 1e+38 and is 0.02" in capsys.readouterr().err
    assert call(train, *args, "--overwrite") == 0
    assert (run / "adapter").is_dir()


def test_predict_and_evaluate_refuse_bad_input(
    call, whole, tmp_path, capsys, sentiment_csv
):
    adapter = f"--adapter={whole / 'adapter'}"
    output = tmp_path / "out.jsonl"
    output.write_text("mine")
    swapped = ("--text_columns=label", "--label_column=text")
    cases = [
        (predict, [adapter, f"--file={sentiment_csv}", f"--output={output}"], "exists"),
        (predict, [adapter, "--file=no.csv", f"--output={tmp_path / 'o'}"], "no.csv"),
        (
            predict,
            ["--adapter=/nowhere", "--file=a.csv", f"--output={tmp_path / 'o'}"],
            "is not a directory",
        ),
        (predict, [adapter], "--file is needed"),
        (evaluate, [adapter], "one of --file, --data_dir and --tfds"),
        (
            evaluate,
            [adapter, f"--file={sentiment_csv}", *swapped],
            "Every label must be one of",
        ),
    ]
    for program, flags, message in cases:
        assert call(program, *flags) == 2, flags
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error
    assert output.read_text() == "mine"


def test_other_base_and_corrupt_adapter_are_refused(
    call, finished, other_preset, tiny_preset, sentiment_csv, tmp_path, capsys
):
    flags = [f"--adapter={finished / 'adapter'}", f"--file={sentiment_csv}"]
    output = f"--output={tmp_path / 'out.jsonl'}"
    capsys.readouterr()
    assert call(predict, *flags, output, f"--preset={other_preset}") == 2
    error = capsys.readouterr().err
    assert "An adapter works only on the base it was trained on" in error
    assert tiny_preset in error
    weights = finished / "adapter" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert call(predict, *flags, output) == 2
    assert "is corrupt or from another adapter" in capsys.readouterr().err
    assert call(evaluate, *flags) == 2
    assert list(tmp_path.glob("*out.jsonl*")) == []


def test_failed_start_does_not_block_the_directory(call, train_args, capsys):
    args, run = train_args
    status = call(train, *args, "--preset=/nowhere", f"--output_dir={run}")
    assert status == 2
    assert call(train, *args, "--epochs=1", f"--output_dir={run}") == 0


def test_truncated_checkpoint_is_named_and_passed_over(
    call, finished, run_flags, tmp_path, capsys
):
    run, args = finished, run_flags(finished)
    weights = (run / "adapter" / "adapter.safetensors").read_bytes()
    (run / "metrics.json").unlink()  # as if it had been killed at the end
    latest, before = sorted(
        (run / "checkpoints").glob("*.data-*"),
        key=lambda p: int(p.name.split(".")[0].split("-")[1]),
        reverse=True,
    )
    latest.write_bytes(latest.read_bytes()[:500])
    capsys.readouterr()
    assert call(train, *args) == 0
    captured = capsys.readouterr()
    assert f"{latest.name.split('.')[0]} cannot be read and is" in captured.err
    step = before.name.split(".")[0].split("-")[1]
    assert f"continuing from step {step} of" in captured.out
    assert (run / "adapter" / "adapter.safetensors").read_bytes() == weights

    (run / "metrics.json").unlink()
    for file in (run / "checkpoints").glob("*.data-*"):
        file.write_bytes(file.read_bytes()[:500])
    assert call(train, *args) == 2
    error = capsys.readouterr().err
    assert "No checkpoint in " in error and "give --overwrite to adapters-tf" in error
    other = shutil.copytree(run, tmp_path / "other")
    (other / "settings.json").write_text("{")
    assert call(train, *run_flags(other)) == 2
    assert "adapters-tf-train does so with --overwrite" in capsys.readouterr().err
    assert call(train, *run_flags(other, "--overwrite", epochs=1)) == 0

    # As a process leaves it that is killed, or has no space, at its first one.
    newest, _ = (run / "checkpoints").glob("*.index")
    for file in (run / "checkpoints").iterdir():
        if file.stem != newest.stem:
            file.unlink()
    newest.write_bytes(newest.read_bytes()[:20])
    assert call(train, *args) == 0
    captured = capsys.readouterr()
    assert "continuing" not in captured.out
    assert captured.err == ""
    assert (run / "adapter" / "adapter.safetensors").read_bytes() == weights
