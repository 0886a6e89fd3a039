"""adapters-tf-export from the command line's end, on a tiny base."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import adapters_tf
from adapters_tf.bin import export, export_text
from adapters_tf.export import describe_servable, versions
from adapters_tf.export.describe import versions_of
from adapters_tf.export.self_check import check_in_new_process, exports_checked_by
from adapters_tf.export.serving_protos import INSTALL_COMMAND
from adapters_tf.export.session import ServingSession
from adapters_tf.models.adapter_file import load_adapter

TEXTS = [
    "the film was good",
    "a very sad plot .",
    "a bad bad plot in it",
    "lovely actor",
]
MOOD = {"name": "Moods", "kind": "classification", "labels": ["neg", "pos"]}
MOOD |= {"text_columns": ["text"], "metrics": ["accuracy", "f1_macro"]}
LIKE = {"name": "Likeness", "kind": "regression", "labels": []}
LIKE |= {"text_columns": ["first", "second"], "metrics": ["spearman"]}


def save_task(folder, preset, task, bottleneck_dim, **head):
    """Save a task with random adapters; returns its model and its directory."""
    model = adapters_tf.build_model(
        task["kind"],
        preset,
        adapters_tf.AdapterConfig(bottleneck_dim),
        seq_length=16,
        head=head,
    )
    random = np.random.default_rng(bottleneck_dim)
    for variable in model.trainable_variables:
        gamma = variable.path.endswith("gamma")
        variable.assign(random.normal(0, 0.3, variable.shape) + gamma)
    metrics = {"f1_macro": 0.5, "accuracy": 0.75} if head else {"spearman": 0.25}
    adapter = model.get_adapter(
        preset=preset, seq_length=16, task=task, metrics=metrics
    )
    adapters_tf.save_adapter(adapter, folder)
    return model, str(folder)


class Exported:
    """What a user has: tasks, a base, a servable of one task, and its SavedModel."""

    def __init__(self, folder, preset, call, without_self_checks):
        self.base, self.servable = f"{folder}/B", f"{folder}/S"
        self.mood = f"{folder}/mood"
        self.model, self.mood_adapter = save_task(
            folder / "a", preset, MOOD, 4, num_classes=2
        )
        _, self.like_adapter = save_task(folder / "b", preset, LIKE, 3)
        base = [f"--preset={preset}", f"--output_dir={self.base}", "--seq_length=16"]
        mood = [f"--adapter={self.mood_adapter}", f"--output_dir={self.mood}"]
        with without_self_checks():
            assert call(export, "base", *base) == 0
            assert call(export, "adapter", *mood) == 0
        flags = [f"--base={self.base}", f"--adapters=mood={self.mood}"]
        with exports_checked_by(check_in_new_process):
            assert (
                call(export, "servable", *flags, f"--output_dir={self.servable}") == 0
            )


@pytest.fixture(scope="module")
def exported(tiny_preset, tmp_path_factory, without_self_checks):
    """A base, two adapters and a servable of one; not to be changed."""

    def call(program, *args):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["adapters-tf-export", *args])
            program.cli()
        return 0

    folder = tmp_path_factory.mktemp("exported")
    return Exported(folder, tiny_preset, call, without_self_checks)


@pytest.fixture
def servable(exported, tmp_path):
    """A copy of the servable."""
    # Links, so that the base's weights are one file in the copy as well.
    copy = shutil.copytree(exported.servable, tmp_path / "S", copy_function=os.link)
    return str(copy)


@pytest.fixture
def no_long_work(monkeypatch):
    """Fails the test where a base is loaded."""

    def load(*args, **kwargs):
        raise AssertionError("A base was loaded before the input was refused.")

    monkeypatch.setattr(versions, "LoadedBase", load)
    monkeypatch.setattr("adapters_tf.export.base.load_backbone", load)
    monkeypatch.setattr("adapters_tf.export.adapter.load_model", load)


def test_the_servable_predicts_as_the_model_does(exported):
    with ServingSession(f"{exported.servable}/1") as session:
        assert set(session.signatures) == {
            "mood",
            "mood_text",
            "mixed_text",
            "serving_default",
        }
        texts = np.array([text.encode() for text in TEXTS], object)
        outputs = session.run("mood_text", {"text": texts})
    logits = exported.model.predict(TEXTS, verbose=0)
    assert len(set(np.argmax(logits, 1))) == 2
    labels = [MOOD["labels"][i].encode() for i in np.argmax(logits, 1)]
    assert outputs["label"].tolist() == labels
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)


def test_versions_and_the_table_of_them(
    exported, servable, without_self_checks, call, capfd
):
    capfd.readouterr()
    flags = [
        f"--servable={servable}",
        "--name=like",
        f"--adapter={exported.like_adapter}",
    ]
    with without_self_checks():
        assert call(export, "add", *flags) == 0
    # Of TensorFlow's own notes nothing is seen.
    printed, notes = capfd.readouterr()
    assert notes == ""
    lines = printed.splitlines()
    assert lines[0] == f"Adding the task like of {servable} ..."
    assert re.fullmatch(rf"{servable}/2, .*\(\d+\.\d s\)", lines[1])
    assert lines[-1] == f"  adapters-tf-export list --servable={servable}"

    assert call(export, "list", f"--servable={servable}") == 0
    table = capfd.readouterr().out.splitlines()
    fingerprint = load_adapter(exported.mood_adapter).base_fingerprint
    assert table[1].startswith(f"base      {fingerprint}, ")
    rows = [re.split(r" {2,}", line) for line in table[-2:]]
    # Four adapters 2md + d + m, five LayerNorms, a head.
    mood = 4 * (2 * 4 * 16 + 16 + 4) + 5 * 32 + 2 * 17
    like = 4 * (2 * 3 * 16 + 16 + 3) + 5 * 32 + 17
    assert rows == [
        ["mood", "classification", "neg, pos", "4", "accuracy 0.7500", str(mood)]
        + ["0.0 MB"],
        ["like", "regression", "-", "3", "spearman 0.2500", str(like), "0.0 MB"],
    ]
    tensors = load_adapter(exported.mood_adapter).tensors.values()
    assert sum(tensor.size for tensor in tensors) == mood

    with without_self_checks():
        assert call(export, "remove", f"--servable={servable}", "--name=mood") == 0
    assert [task.name for task in describe_servable(servable).tasks] == ["like"]

    # Back to version 1: its files, under the number 4.
    assert call(export, "rollback", f"--servable={servable}", "--to=1") == 0
    summary = describe_servable(servable)
    assert summary.versions == (1, 2, 3, 4)
    assert [task.name for task in summary.tasks] == ["mood"]
    assert Path(servable, "4/saved_model.pb").samefile(f"{servable}/1/saved_model.pb")

    # Files with two names are counted once: the base's weights, and version 4.
    files = [f for f in Path(servable).rglob("*") if f.is_file()]
    by_inode = {f.stat().st_ino: f.stat().st_size for f in files}
    assert summary.total_bytes == sum(by_inode.values())
    assert summary.total_bytes < sum(f.stat().st_size for f in files)
    shard = Path(servable, "base/variables/variables.data-00000-of-00002")
    own = sum(f.stat().st_size for f in Path(servable, "1").rglob("*") if f.is_file())
    assert summary.version_bytes[1] == own - shard.stat().st_size


def test_deployment_files(exported, tmp_path, call, capsys):
    output = tmp_path / "D"
    flags = [f"--servable={exported.servable}", f"--output_dir={output}"]
    assert call(export, "deployment", *flags, "--model_name=moods") == 0
    assert '"moods"' in (output / "models.config").read_text()
    assert f"cd {output} && docker compose up" in capsys.readouterr().out
    assert call(export, "deployment", *flags) == 2
    assert "exists" in capsys.readouterr().err
    assert call(export, "deployment", *flags, "--overwrite") == 0


def test_bad_input_is_refused_at_once(
    exported, servable, no_long_work, tmp_path, tiny_preset, call, capsys
):
    e, new = exported, f"--output_dir={tmp_path / 'new'}"
    full = f"--output_dir={servable}"
    base, adapters = f"--base={e.base}", f"--adapters=mood={e.mood}"
    s = f"--servable={servable}"
    exists = "must be new or empty"
    cases = {
        ("base", f"--preset={tiny_preset}", full): exists,
        ("base",): "--output_dir is needed",
        ("base", new, "--seq_length=x"): "seq_length",
        ("adapter", f"--adapter={e.mood_adapter}", full): exists,
        ("adapter", "--adapter=/nowhere", new): "is not a directory",
        ("adapter", f"--adapter={e.mood}", new): "has no adapter_config.json",
        ("adapter", new): "--adapter is needed",
        ("servable", base, adapters, full): exists,
        ("servable", base, new): "--adapters is needed",
        ("servable", base, "--adapters=mood", new): "must be name=directory",
        ("servable", base, f"--adapters=mood:{e.mood}", new): "must be name=directory",
        ("servable", base, f"--adapters=={e.mood}", new): "must be name=directory",
        ("servable", base, "--adapters=mood=", new): "must be name=directory",
        ("servable", base, "--adapters=a=X,a=Y", new): "names the task 'a' twice",
        ("servable", base, f"--adapters=a-b={e.mood}", new): "letters, digits and",
        ("servable", base, f"--adapters=mixed={e.mood}", new): "is taken",
        ("servable", base, "--adapters=mood=/nowhere", new): "no saved_model.pb",
        ("servable", "--base=/nowhere", adapters, new): "no saved_model.pb",
        ("servable", base, f"{adapters},like={e.servable}", new): (
            "no adapter_config.json"
        ),
        ("add", s, "--name=mood", f"--adapter={e.mood}"): "with --replace",
        (
            "add",
            s,
            "--name=like",
            f"--adapter={e.like_adapter}",
            "--replace",
        ): "is not there",
        ("add", s, "--name=like", "--adapter=/nowhere"): "no saved_model.pb",
        ("add", s, "--name=like"): "--adapter is needed",
        ("remove", s, "--name=like"): "no task 'like' to remove",
        ("remove", s, "--name=mood"): "is the only one",
        ("rollback", s): "one version only",
        ("rollback", s, "--to=7"): "Received: 7; it has: [1]",
        ("list", f"--servable={e.base}"): "A servable is a directory with",
        ("list", "--servable=/nowhere"): "A servable is a directory with",
        ("list", s, "extra"): "Options begin with --name",
        ("list", f"--servible={servable}"): "servible",
        ("deployment", f"--servable={e.mood}", new): "which has none",
        ("deployment", s, new, "--model_name=a b"): "a b",
    }
    for args, message in cases.items():
        assert call(export, *args) == 2, args
        error = capsys.readouterr().err
        assert error.count("error: ") == 1 and message in error, (args, error)
        assert "Traceback" not in error
    assert {path.name for path in tmp_path.iterdir()} == {"S"}
    assert versions_of(Path(servable)) == [1]


def test_replace_goes_on(exported, servable, no_long_work, call):
    """What the errors of `add` advise: for a task's name that is there, and away."""
    flags = [f"--servable={servable}", f"--adapter={exported.like_adapter}"]
    for advised in (["--name=mood", "--replace"], ["--name=like"]):
        with pytest.raises(AssertionError, match="before the input was refused"):
            call(export, "add", *flags, *advised)


def test_an_adapter_of_another_base_is_refused(
    exported, other_preset, tmp_path, call, capsys
):
    _, adapter = save_task(tmp_path / "other", other_preset, LIKE, 3)
    adapters = f"--adapters=mood={exported.mood_adapter},like={adapter}"
    flags = [f"--base={exported.base}", adapters, f"--output_dir={tmp_path / 'S'}"]
    assert call(export, "servable", *flags) == 2
    assert "works only on the base it was trained on" in capsys.readouterr().err
    assert not (tmp_path / "S").exists()


def test_too_long_a_sequence_is_refused(tiny_preset, tmp_path, call, capsys):
    flags = [f"--preset={tiny_preset}", f"--output_dir={tmp_path / 'B'}"]
    assert call(export, "base", *flags) == 2
    assert "from 8 to 32" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_the_protos_the_command_that_installs_them_is_named(
    exported, servable, no_long_work, tmp_path, call, capsys, monkeypatch
):
    for name in list(sys.modules):
        if name.partition(".")[0] == "tensorflow_serving":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    new = f"--output_dir={tmp_path / 'new'}"
    for args in (
        ("servable", f"--base={exported.base}", f"--adapters=a={exported.mood}", new),
        ("add", f"--servable={servable}", "--name=a", f"--adapter={exported.mood}"),
    ):
        assert call(export, *args) == 2
        assert INSTALL_COMMAND in capsys.readouterr().err


def test_interruption(monkeypatch, tmp_path, call, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("adapters_tf.export.base.load_backbone", interrupt)
    flags = [f"--preset={tmp_path}", f"--output_dir={tmp_path / 'B'}"]
    assert call(export, "base", *flags) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_tensorflow():
    code = "import sys, adapters_tf.bin.export; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 0


def test_help_lists_the_jobs_and_the_flags_of_each(call, capsys):
    assert call(export, "--help") == 0
    text = capsys.readouterr().out
    for job in export.JOBS:
        assert re.search(rf"(?m)^  {job.name} +{job.summary}$", text)
        assert call(export, job.name, "--help") == 0
        own = capsys.readouterr().out
        assert f"adapters-tf-export {job.name} --" in own and "--flagfile" in own
        assert max(map(len, own.splitlines())) <= 88


@pytest.mark.parametrize(
    ("args", "received"),
    [
        ([], "no job"),
        (["bse"], "'bse'. Did you mean 'base'?"),
        (["--servable=S", "list"], "'--servable=S'"),
    ],
)
def test_what_is_no_job_is_refused(call, args, received, capsys):
    assert call(export, *args) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: The first word must be one of these jobs: base, ")
    assert f"Received: {received}" in error


def test_many_labels_are_cut():
    text = export_text._labels(tuple(f"label{i}" for i in range(77)))
    assert text == "label0, label1, lab ... (77)"
