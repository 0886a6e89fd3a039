"""The three text protos that `tensorflow_model_server` reads, checked."""

import dataclasses
import json
import re
from typing import Any

from google.protobuf import text_format

from adapters_tf.errors import UserError
from adapters_tf.export.deployment import config_protos
from adapters_tf.export.deployment.serving_api import serving_proto

DEFAULT_MODEL_NAME = "adapters"
METRICS_PATH = "/monitoring/prometheus/metrics"


@dataclasses.dataclass(frozen=True)
class BatchingSettings:
    """How TensorFlow Serving joins requests into batches.

    Attributes:
        max_batch_size: Rows of a batch, and so of a request, at most.
        batch_timeout_micros: How long a request waits for others.
        max_enqueued_batches: Batches that may wait for a thread; further
            requests are refused as unavailable.
        num_batch_threads: Batches that run at the same time: the CPU cores of
            the machine that serves, or one or two for each GPU.

    Raises:
        UserError: if one is out of its range.
    """

    max_batch_size: int = 64
    batch_timeout_micros: int = 1000
    max_enqueued_batches: int = 100
    num_batch_threads: int = 4

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "batch_timeout_micros" else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UserError(
                    f"{field.name} must be an integer of at least {least}. Received: "
                    f"{field.name}={value!r}"
                )

    @property
    def allowed_batch_sizes(self) -> tuple[int, ...]:
        """The sizes that a batch is filled up to, the last `max_batch_size`.

        Two for each power of two, so that less than a third of a batch is
        filling.
        """
        sizes = {self.max_batch_size}
        power = 1
        while power < self.max_batch_size:
            sizes.add(power)
            if power > 1 and power * 3 // 2 < self.max_batch_size:
                sizes.add(power * 3 // 2)
            power *= 2
        return tuple(sorted(sizes))


def check_model_name(model_name: str) -> None:
    """Refuse a name that has no place in a REST address.

    Raises:
        UserError: if it is not of letters, digits and `_`, `-`, `.`.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", model_name):
        raise UserError(
            "model_name must be of letters, digits, '_', '-' and '.', and begin with "
            f"a letter or a digit. Received: model_name={model_name!r}"
        )


def models_config(model_name: str, base_path: str) -> str:
    """The text of `models.config`: one model, its newest version.

    Args:
        model_name: What clients ask for.
        base_path: The servable's directory as the server sees it.
    """
    check_model_name(model_name)
    return f"""\
# ModelServerConfig, for --model_config_file.
model_config_list {{
  config {{
    name: {json.dumps(model_name)}
    base_path: {_quoted(base_path)}
    model_platform: "tensorflow"
    # The newest version only. The next one is loaded and warmed up before
    # this one goes, so both are in memory for that time. To hold on to a
    # version, or to go back to it, name it instead: specific {{ versions: 1 }}
    model_version_policy {{
      latest {{
        num_versions: 1
      }}
    }}
  }}
}}
"""


def batching_config(settings: BatchingSettings) -> str:
    """The text of `batching.config`."""
    sizes = "\n".join(f"allowed_batch_sizes: {n}" for n in settings.allowed_batch_sizes)
    return f"""\
# BatchingParameters, for --batching_parameters_file. Only requests to the same
# signature share a batch; mixed_text is the one that takes rows of any task.

# Rows of one batch. A request of more rows is refused: send several.
max_batch_size {{ value: {settings.max_batch_size} }}
# How long a request waits for others; under load batches fill sooner.
batch_timeout_micros {{ value: {settings.batch_timeout_micros} }}
# Beyond these, requests are refused as unavailable and do not pile up.
max_enqueued_batches {{ value: {settings.max_enqueued_batches} }}
# The CPU cores of the machine, or one or two for each GPU.
num_batch_threads {{ value: {settings.num_batch_threads} }}
# Batches are filled up to one of these with copies of a row.
# The last must equal max_batch_size.
{sizes}

# Never true. The server pads an input with the tensor's FIRST element, which
# in an input_mask is 1: padding would be read as words, and every answer that
# shares the batch changes. Strings need no padding. Clients that send tokens
# pad to one fixed length, with a mask of 0: requests of different lengths
# that meet in a batch all fail.
pad_variable_length_inputs: false
"""


def monitoring_config() -> str:
    """The text of `monitoring.config`: Prometheus metrics on the REST port."""
    return f"""\
# MonitoringConfig, for --monitoring_config_file.
prometheus_config {{
  enable: true
  path: {json.dumps(METRICS_PATH)}
}}
"""


def check_models_config(text: str) -> Any:
    """Parse `models.config` with the server's own proto.

    Returns:
        The `ModelServerConfig`.

    Raises:
        UserError: if it does not parse, or names a model twice or none.
    """
    proto = serving_proto("config.model_server_config_pb2").ModelServerConfig
    config = _parse(text, proto, "models.config")
    names = [model.name for model in config.model_config_list.config]
    if not names or len(set(names)) < len(names):
        raise UserError(
            f"models.config must name at least one model, each once. Received: {names}"
        )
    return config


def check_batching_config(text: str) -> Any:
    """Parse `batching.config` and check what the server or the masks demand.

    Returns:
        The `BatchingParameters`.

    Raises:
        UserError: if it does not parse, its sizes do not rise to
            `max_batch_size`, or it asks for padding.
    """
    config = _parse(text, config_protos.BatchingParameters, "batching.config")
    sizes = list(config.allowed_batch_sizes)
    if sizes and (
        sizes != sorted(set(sizes)) or sizes[-1] != config.max_batch_size.value
    ):
        raise UserError(
            "allowed_batch_sizes must rise, and end with max_batch_size. Received: "
            f"{sizes} and max_batch_size {config.max_batch_size.value}"
        )
    if config.pad_variable_length_inputs:
        raise UserError(
            "pad_variable_length_inputs must be false: the server pads an input mask "
            "with its first element, 1. Received: true. Let clients pad tokens to one "
            "fixed length."
        )
    return config


def check_monitoring_config(text: str) -> Any:
    """Parse `monitoring.config`.

    Returns:
        The `MonitoringConfig`.

    Raises:
        UserError: if it does not parse.
    """
    return _parse(text, config_protos.MonitoringConfig, "monitoring.config")


def _quoted(text: str) -> str:
    """A string of a text proto, with non-ASCII characters as they are."""
    return json.dumps(text, ensure_ascii=False)


def _parse(text: str, proto: type[Any], name: str) -> Any:
    try:
        return text_format.Parse(text, proto())
    except text_format.ParseError as error:
        raise UserError(
            f"{name} must be a text proto of {proto.DESCRIPTOR.full_name}. Received: "
            f"{error}"
        ) from error
