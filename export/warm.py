"""Warm-up requests for a version that this package has written."""

from pathlib import Path

from adapters_tf.export.deployment.examples import default_examples
from adapters_tf.export.deployment.serving_api import serving_proto
from adapters_tf.export.deployment.signatures import (
    read_servable_json,
    read_signatures,
)
from adapters_tf.export.deployment.warmup import warmup_records, write_warmup

# A server replays them all before it serves a version, and the first call of a
# signature takes seconds, so hundreds of tasks would delay every start by many
# minutes. The signature for all tasks comes first, then the tasks' own, which is
# all of them up to 49 tasks; beyond, the first use warms the rest.
WARMUP_LIMIT = 100


def check_can_write_warmup() -> None:
    """Refuse to go on without TensorFlow Serving's protos, which it needs.

    Raises:
        UserError: names the command that installs them.
    """
    serving_proto("apis.prediction_log_pb2")


def write_version_warmup(version_dir: Path) -> None:
    """Write the warm-up file of a version that this package has written."""
    examples = default_examples(read_servable_json(version_dir))
    signatures = read_signatures(version_dir)
    warmup = warmup_records(signatures, examples, limit=WARMUP_LIMIT)
    write_warmup(version_dir, warmup.records)
