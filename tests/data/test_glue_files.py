"""The layouts of the nine GLUE tasks, as tiny files."""

import numpy as np
import pytest
from absl import logging

from adapters_tf.data.glue import GLUE_LAYOUTS, load_glue_files
from adapters_tf.errors import DataError

_MRPC = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
_STSB = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\t"
_QQP = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
_MNLI = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\t"
)
_QNLI = "index\tquestion\tsentence\tlabel\n"
_PAIR = "index\tsentence1\tsentence2\tlabel\n"

# Task: folder, files, expected texts and labels by split.
FILES = {
    "cola": (
        "CoLA",
        {
            "train.tsv": 'gj04\t1\t\tThe "ship" sank.\ngj04\t0\t*\t"Ship the sank.\n',
            "dev.tsv": "gj04\t1\t\tIt sank.\n",
        },
        {"train": ((['The "ship" sank.', '"Ship the sank.'],), [1, 0])},
    ),
    "sst2": (
        "SST-2",
        {
            "train.tsv": "sentence\tlabel\na charm \t1\nbleak \t0\n",
            "dev.tsv": "sentence\tlabel\nit 's dull \t0\n",
        },
        {
            "train": ((["a charm ", "bleak "],), [1, 0]),
            "dev": ((["it 's dull "],), [0]),
        },
    ),
    "mrpc": (
        "MRPC",
        {
            "train.tsv": _MRPC + '1\t7\t8\t" He said\tHe said "\n',
            "dev.tsv": _MRPC + "0\t7\t8\tOne\tTwo\n",
        },
        {
            "train": ((['" He said'], ['He said "']), [1]),
            "dev": ((["One"], ["Two"]), [0]),
        },
    ),
    "stsb": (
        "STS-B",
        {
            "train.tsv": _STSB
            + "sentence2\tscore\n0\tg\tf\ty\t1\tn\tn\tA plane.\tA jet.\t3.800\n",
            "dev.tsv": _STSB + "sentence2\tscore\n0\tg\tf\ty\t1\tn\tn\tA.\tB.\t0.000\n",
        },
        {"train": ((["A plane."], ["A jet."]), [3.8]), "dev": ((["A."], ["B."]), [0])},
    ),
    "qqp": (
        "QQP",
        {
            "train.tsv": _QQP
            + "1\t3\t4\tHow?\tWhy?\t0\n2\t5\t6\tbroken\n3\t7\t8\tWho?\t\t1\n",
            "dev.tsv": _QQP + "1\t3\t4\tSo?\tSo?\t1\n",
        },
        {
            "train": ((["How?", "Who?"], ["Why?", ""]), [0, 1]),
            "dev": ((["So?"], ["So?"]), [1]),
        },
    ),
    "mnli": (
        "MNLI",
        {
            "train.tsv": _MNLI
            + "gold_label\n0\t1\t1n\tg\t(\t)\t(\t)\tP\tH\tneutral\tcontradiction\n",
            "dev_matched.tsv": _MNLI
            + "label2\tlabel3\tlabel4\tlabel5\tgold_label\n"
            + "0\t1\t1n\tg\t(\t)\t(\t)\tP1\tH1\tentailment\tneutral\tneutral\tneutral"
            + "\tneutral\tneutral\n",
            "dev_mismatched.tsv": _MNLI
            + "label2\tlabel3\tlabel4\tlabel5\tgold_label\n"
            + "0\t1\t1n\tg\t(\t)\t(\t)\tP2\tH2\tneutral\tneutral\tneutral\tneutral"
            + "\tneutral\tentailment\n",
        },
        {
            "train": ((["P"], ["H"]), [2]),
            "dev": ((["P1"], ["H1"]), [1]),
            "mismatched": ((["P2"], ["H2"]), [0]),
        },
    ),
    "qnli": (
        "QNLI",
        {
            "train.tsv": _QNLI + "0\tQ?\tS.\tnot_entailment\n",
            "dev.tsv": _QNLI + "0\tQ2?\tS2.\tentailment\n",
        },
        {"train": ((["Q?"], ["S."]), [1]), "dev": ((["Q2?"], ["S2."]), [0])},
    ),
    "rte": (
        "RTE",
        {
            "train.tsv": _PAIR + "0\tP.\tH.\tentailment\n",
            "dev.tsv": _PAIR + "0\tP2.\tH2.\tnot_entailment\n",
        },
        {"train": ((["P."], ["H."]), [0]), "dev": ((["P2."], ["H2."]), [1])},
    ),
    "wnli": (
        "WNLI",
        {
            "train.tsv": _PAIR + "0\tP.\tH.\t1\n",
            "dev.tsv": _PAIR + "0\tP2.\tH2.\t0\n",
        },
        {"train": ((["P."], ["H."]), [1]), "dev": ((["P2."], ["H2."]), [0])},
    ),
}


def write_files(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8", newline="")


@pytest.fixture
def warnings(monkeypatch):
    messages = []
    monkeypatch.setattr(logging, "warning", lambda text, *a: messages.append(text % a))
    return messages


def test_all_nine_are_covered():
    assert set(FILES) == set(GLUE_LAYOUTS) and len(FILES) == 9


@pytest.mark.parametrize("name", FILES)
def test_official_layout(tmp_path, name, warnings):
    folder, files, expected = FILES[name]
    write_files(tmp_path / folder, files)
    splits = load_glue_files(name, tmp_path)
    extra = {"mismatched"} if name == "mnli" else set()
    assert set(splits) == {"train", "dev"} | extra
    for split, (texts, labels) in expected.items():
        assert splits[split].texts == texts
        dtype = np.float32 if name == "stsb" else np.int32
        assert splits[split].labels.dtype == dtype
        np.testing.assert_array_equal(splits[split].labels, np.array(labels, dtype))
    assert len(warnings) == (name == "qqp")


def test_malformed_rows_of_qqp_are_logged(tmp_path, warnings):
    write_files(tmp_path / "QQP", FILES["qqp"][1])
    load_glue_files("qqp", tmp_path)
    assert "train.tsv: left out 1 of 3 rows" in warnings[0]


@pytest.mark.parametrize("folder", ["STS-B", "sts-b", "stsb", "."])
def test_names_of_folders(tmp_path, folder):
    write_files(tmp_path / folder, FILES["stsb"][1])
    assert len(load_glue_files("stsb", tmp_path)["dev"]) == 1


def test_folder_of_another_task_is_not_taken(tmp_path):
    write_files(tmp_path / "RTE", FILES["rte"][1])
    with pytest.raises(DataError, match="data of wnli.*there is none"):
        load_glue_files("wnli", tmp_path / "RTE")
    assert len(load_glue_files("rte", tmp_path / "RTE")["train"]) == 1


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(DataError, match="train.tsv and dev.tsv.*there is no folder"):
        load_glue_files("cola", tmp_path / "none")
    write_files(tmp_path, {"train.tsv": FILES["cola"][1]["train.tsv"]})
    with pytest.raises(DataError, match=r"must exist.*dev\.tsv"):
        load_glue_files("cola", tmp_path)


def test_wrong_label_and_columns(tmp_path):
    files = dict(FILES["wnli"][1], **{"dev.tsv": _PAIR + "0\tP.\tH.\tentailment\n"})
    write_files(tmp_path, files)
    with pytest.raises(DataError, match=r"\(0, 1\).*'entailment' at .*dev.tsv, line 2"):
        load_glue_files("wnli", tmp_path)
    with pytest.raises(DataError, match="Received: 'question'"):
        load_glue_files("qnli", tmp_path)


def test_many_malformed_rows_are_refused(tmp_path):
    rows = "1\t3\t4\tHow?\tWhy?\t0\n" + "2\tbroken\n" * 11
    write_files(tmp_path, dict(FILES["qqp"][1], **{"train.tsv": _QQP + rows}))
    with pytest.raises(DataError, match="11 of 12 have.*separated by tabs"):
        load_glue_files("qqp", tmp_path)
