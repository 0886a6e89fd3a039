"""Warm-up requests for a version that this package has written."""

from pathlib import Path

from adapters_tf.export.deployment.examples import default_examples
from adapters_tf.export.deployment.serving_api import serving_proto
from adapters_tf.export.deployment.signatures import (
    read_servable_json,
    read_signatures,
)
from adapters_tf.export.deployment.warmup import warmup_records, write_warmup

# A server replays them all before it serves a version. The signature for all
# tasks comes first; those of single tasks beyond this are warmed by first use.
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
    limit = max(WARMUP_LIMIT, len(signatures))
    warmup = warmup_records(signatures, examples, limit=min(limit, 1000))
    write_warmup(version_dir, warmup.records)
