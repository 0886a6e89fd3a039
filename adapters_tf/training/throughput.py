"""How many examples a run trains on in a second."""

import json

import tensorflow as tf


class Throughput(tf.train.experimental.PythonState):
    """Examples per second over the loops of a run, also of one that is continued.

    In a checkpoint it carries over to where the run is continued. The first loop of
    a process traces the graph and counts only as long as there is no other.
    """

    def __init__(self) -> None:
        self._loops = 0
        self._examples = 0.0
        self._seconds = 0.0
        self._traced = False

    @property
    def examples_per_second(self) -> float:
        """The mean over the loops that count; 0 before the first."""
        return self._examples / self._seconds if self._seconds else 0.0

    def update(self, examples: float, seconds: float) -> None:
        """Count a loop.

        Args:
            examples: How many it trained on.
            seconds: How long it took.
        """
        traces, self._traced = not self._traced, True
        if traces and self._loops:
            return
        if self._loops == 1:
            # Of the run's first process, whose first loop no longer counts; or of
            # one that ended after it, whose only loop traced the graph as well.
            self._examples = self._seconds = 0.0
        self._loops += 1
        self._examples += examples
        self._seconds += seconds

    def serialize(self) -> str:
        """As text, for a checkpoint."""
        return json.dumps([self._loops, self._examples, self._seconds])

    def deserialize(self, string_value: bytes | str) -> None:
        """Go on from what `serialize` gave."""
        self._loops, self._examples, self._seconds = json.loads(string_value)
