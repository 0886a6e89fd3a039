"""adapters-tf-convert from the command line's end, in this process."""

import json
import shlex

import numpy as np
import pytest

import adapters_tf
from adapters_tf.bin import convert, predict, train


def test_from_hugging_face_to_predictions_and_back(
    call, fixtures, tmp_path, capsys, inputs, expected
):
    preset, out, hub = (tmp_path / name for name in ("P", "A", "H"))
    assert (
        call(
            convert,
            "huggingface",
            f"--input_dir={fixtures / 'base'}",
            f"--output_dir={preset}",
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "hidden_act='gelu': the exact GELU" in printed
    assert f"adapters-tf-train --preset={preset}" in printed
    flags = [f"--preset={preset}", f"--output_dir={out}", "--seq_length=12"]
    flags += [f"--input_dir={fixtures / 'houlsby'}"]
    assert call(convert, "from_adapterhub", *flags) == 0
    printed = capsys.readouterr().out
    assert "films: classification, bottleneck 8, silu" in printed
    assert f"adapters-tf-predict --adapter={out} --file=new.csv --output=pre" in printed
    logits = np.asarray(adapters_tf.load_model(out)(inputs))
    np.testing.assert_allclose(logits, expected["houlsby"], rtol=0, atol=2e-5)
    (tmp_path / "new.csv").write_text("text\na good film\n")
    args = (f"--adapter={out}", f"--file={tmp_path / 'new.csv'}")
    assert call(predict, *args, f"--output={tmp_path / 'p.jsonl'}") == 0
    (line,) = (tmp_path / "p.jsonl").read_text().splitlines()
    assert json.loads(line)["label"] in ("bad", "so-so", "good")
    capsys.readouterr()
    args = (f"--adapter={out}", f"--output_dir={hub}", "--name=mine")
    assert call(convert, "to_adapterhub", *args, "--model_name=bert") == 0
    assert f"model.load_adapter('{hub}')" in capsys.readouterr().out
    config = json.loads((hub / "adapter_config.json").read_text())
    assert (config["name"], config["model_name"]) == ("mine", "bert")


@pytest.mark.parametrize(
    ("case", "file"), [("questions", "new.json"), ("tags", "new.conll")]
)
def test_the_command_that_is_printed_fits_the_kind(
    case, file, call, fixtures, base, tmp_path, capsys
):
    flags = [f"--preset={base}", f"--output_dir={tmp_path}/A b", "--seq_length=12"]
    flags += [f"--input_dir={fixtures / case}"]
    assert call(convert, "from_adapterhub", *flags) == 0
    line = capsys.readouterr().out.strip().splitlines()[-1]
    assert shlex.split(line) == [
        "adapters-tf-predict",
        f"--adapter={tmp_path}/A b",
        f"--file={file}",
        "--output=predictions.jsonl",
    ]


def test_what_is_trained_here_can_go_to_adapterhub(
    call, tiny_preset, sentiment_csv, tmp_path, capsys
):
    flags = [f"--preset={tiny_preset}", f"--train_file={sentiment_csv}", "--epochs=1"]
    flags += ["--seq_length=16", "--bottleneck_dim=4"]
    run = tmp_path / "run"
    flags += ["--tuning=adapters_only", f"--output_dir={run}"]
    assert call(train, *flags) == 0
    args = (f"--adapter={run / 'best_adapter'}", f"--output_dir={run / 'hub'}")
    capsys.readouterr()
    assert call(convert, "to_adapterhub", *args) == 0
    assert "hidden_act='gelu_new'" in capsys.readouterr().out
    head = json.loads((run / "hub" / "head_config.json").read_text())
    assert head["config"]["label2id"] == {"neg": 0, "pos": 1}


def test_from_tf1(call, numpy_bert, write_checkpoint, fixtures, tmp_path, capsys):
    folder, preset, out = (tmp_path / name for name in ("google", "P", "A"))
    variables = numpy_bert.random_variables(numpy_bert.SIZES, adapter_size=6, classes=2)
    base = {k: v for k, v in variables.items() if "adapters" not in k and "/" in k}
    write_checkpoint(folder / "bert.ckpt", base)
    write_checkpoint(tmp_path / "run" / "model.ckpt-9", variables)
    (folder / "bert_config.json").write_text(json.dumps(numpy_bert.SIZES))
    (folder / "vocab.txt").write_text((fixtures / "base" / "vocab.txt").read_text())
    flags = [f"--input_dir={folder}", f"--output_dir={preset}"]
    assert call(convert, "bert", *flags) == 2
    assert "holds bert.ckpt" in capsys.readouterr().err
    assert call(convert, "bert", *flags, "--checkpoint=bert.ckpt") == 0
    assert "Texts are lower-cased" in capsys.readouterr().out
    flags = [f"--preset={preset}", f"--output_dir={out}", "--seq_length=12"]
    flags += [f"--checkpoint={tmp_path / 'run'}", "--name=mrpc", "--labels=no,yes"]
    flags += ["--text_columns=first,second"]
    assert call(convert, "from_adapter_bert", *flags) == 0
    assert "mrpc: classification, 2 outputs, bottleneck 6" in capsys.readouterr().out
    task = adapters_tf.load_adapter(out).task
    assert task["labels"] == ["no", "yes"]
    assert task["text_columns"] == ["first", "second"]
    # Not replaced unasked.
    assert call(convert, "from_adapter_bert", *flags) == 2
    assert "saved to a new directory" in capsys.readouterr().err
    assert call(convert, "from_adapter_bert", *flags, "--overwrite") == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "The first word must be one of these jobs: from_adapterhub, to_ad"),
        (("hugging_face",), "Did you mean 'huggingface'?"),
        (("from_adapterhub",), "--input_dir is needed"),
        (("from_adapterhub", "--input_dir=x"), "--preset is needed"),
        (("to_adapterhub", "--output_dir=x"), "--adapter is needed"),
        (("from_adapter_bert", "--preset=x"), "--checkpoint is needed"),
        (("bert", "--output_dir=x"), "--input_dir is needed"),
        (("huggingface", "--input_dir=x"), "--output_dir is needed"),
        (
            ("huggingface", "--input_dir=/x", "--output_dir=y"),
            "could not be read: No su",
        ),
    ],
)
def test_command_lines_that_are_refused(args, message, call, capsys):
    assert call(convert, *args) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


@pytest.mark.parametrize("job", [job.name for job in convert.JOBS])
def test_help(job, call, capsys):
    assert call(convert, "--help") == 0
    assert job in capsys.readouterr().out
    assert call(convert, job, "--help") == 0
    assert "--output_dir" in capsys.readouterr().out
