"""The commands of docs/tutorial.md, one after another, as they stand there."""

import importlib
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import entry_points

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "tutorial.md"
STARTED = re.compile(r"http://127\.0\.0\.1:(\d+)/")


def shell_commands():
    blocks = re.findall(
        r"^```sh\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line) for line in lines if line]
    # What comes before them installs this package.
    return [c for c in commands if c[0].startswith("adapters-tf") or c[0] == "curl"]


@pytest.mark.slow
def test_tutorial(
    call, long_preset, sentiment_csv, tmp_path, monkeypatch, without_self_checks
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(sentiment_csv, "train.csv")
    *jobs, serve, curl = shell_commands()
    assert [serve[0], curl[0]] == ["adapters-tf-serve", "curl"] and len(jobs) == 8
    with without_self_checks():
        for program, *flags in jobs:
            (script,) = entry_points(group="console_scripts", name=program)
            module = importlib.import_module(script.module)
            flags = [
                f.replace("--preset=demo", f"--preset={long_preset}") for f in flags
            ]
            assert call(module, *flags) == 0, program

    metrics = json.loads(pathlib.Path("films/metrics.json").read_text())
    assert metrics["train_rows"] == 180 and metrics["epochs"] == 20
    assert pathlib.Path("films/adapter/README.md").is_file()
    rows = pathlib.Path("predictions.jsonl").read_text().splitlines()
    assert len(rows) == 200 and "label" in json.loads(rows[0])

    _, *flags = [f.replace("--port=8501", "--port=0") for f in serve]
    command = [sys.executable, "-P", "-m", "adapters_tf.bin.serve", *flags]
    with open("output.txt", "w") as output:
        server = subprocess.Popen(
            [*command, "--grpc_port=0"], stdout=output, stderr=output
        )
    try:
        end = time.monotonic() + 300
        while not (match := STARTED.search(pathlib.Path("output.txt").read_text())):
            assert server.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        _, _, body, url = curl
        request = urllib.request.urlopen(url.replace("8501", match[1]), body.encode())
        with request as response:
            (answer,) = json.loads(response.read())["predictions"]
    finally:
        server.kill()
        server.wait()
    assert answer["labels"] == ["neg", "pos"] and answer["label"] in answer["labels"]
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
