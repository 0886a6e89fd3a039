"""A process that stays, and answers one request after another."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from adapters_tf.errors import UserError


class Resident:
    """A child process that reads requests as JSON lines, and answers in kind.

    Args:
        command: What is started. It answers each request with one line, an object;
            one with the key `error` ends it.
        name: For errors.

    Raises:
        UserError: from `ask`, if the process fails, in its own words.
    """

    def __init__(self, command: Sequence[str], name: str) -> None:
        self.name = name
        # A file, since a pipe that nobody reads would fill up.
        self._errors = tempfile.TemporaryFile("w+")
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env={
                    **os.environ,
                    "TF_CPP_MIN_LOG_LEVEL": "3",
                    # Or TensorFlow takes all of a GPU, and leaves none for the peer.
                    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
                },
            )
        except OSError as error:
            raise UserError(
                f"{name} could not be started. Received: {command[0]!r}: "
                f"{error.strerror}"
            ) from error

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request, and wait for its answer."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            self._errors.seek(0)
            reason = self._errors.read().strip()[-1500:]
            raise UserError(f"{self.name} ended before it answered: {reason}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UserError(f"{self.name}: {answer['error']}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream:
                # What it did not take is flushed on closing.
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def serve(handlers: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Answer requests until there are no more; the other end of a `Resident`.

    What libraries print goes to the standard error.

    Args:
        handlers: The request's `op` -> what is called with its other values.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = handlers[request.pop("op")](**request)
        except UserError as error:
            answer = {"error": str(error)}
        replies.write(json.dumps(answer) + "\n")
        replies.flush()
