"""Programs that are ended from outside, or that the system refuses a file."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adapters_tf.bin.program import Groups, run

SECONDS = 120  # A machine may be busy.
# A program that writes a directory and has it checked by a process that never ends.
PROGRAM = """
import sys
from pathlib import Path
from adapters_tf.bin.program import Groups, run
from adapters_tf.export import self_check
from adapters_tf.io import new_directory

def main(flags):
    with new_directory(sys.argv[1]) as directory:
        (directory / "part").write_text("part")
        self_check.sys.executable = sys.argv[2]
        self_check.check_in_new_process(directory, [])

run(Groups("Export."), main, ["export"], interrupted="nothing was written")
"""


def test_sigterm_removes_what_is_unfinished_and_ends_the_self_check(tmp_path):
    checker, pid_file = tmp_path / "checker", tmp_path / "pid"
    checker.write_text(
        f"#!/bin/sh\necho $$ > {pid_file}.new && mv {pid_file}.new {pid_file}\n"
        "exec sleep 600\n"
    )
    checker.chmod(0o755)
    (tmp_path / "out").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM, tmp_path / "out" / "new", checker],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + SECONDS
        while not pid_file.exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        assert len(os.listdir(tmp_path / "out")) == 1
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert (process.returncode, errors) == (143, "\nterminated; nothing was written\n")
    assert os.listdir(tmp_path / "out") == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_handler_is_the_programs_alone(capsys):
    before = signal.getsignal(signal.SIGTERM)
    during = []
    run(Groups("x"), lambda _: during.append(signal.getsignal(signal.SIGTERM)), ["x"])
    assert during[0] != before == signal.getsignal(signal.SIGTERM)


def test_what_the_system_refuses_is_an_error_without_a_traceback(capsys):
    name = "x" * 300
    with pytest.raises(SystemExit) as ended:
        run(Groups("x"), lambda _: Path(name).exists(), ["x"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {name!r}: File name too long\n"

    def bug(_):
        raise OSError(errno.EBADF, "Bad file descriptor")

    with pytest.raises(OSError, match="Bad file"):
        run(Groups("x"), bug, ["x"])
