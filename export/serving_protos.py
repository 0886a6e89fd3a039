"""TensorFlow Serving's protocol buffers.

Most come with the package `tensorflow-serving-api`, which `serving_proto` imports when
it is called. `BatchingParameters` and `MonitoringConfig`, which the server parses from
`--batching_parameters_file` and `--monitoring_config_file`, are in no package: this
module builds their descriptors, and the tests compare them with the compiled `.proto`
texts.
"""

import importlib
from types import ModuleType

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    wrappers_pb2,
)

from adapters_tf.errors import UserError

# Version 2.21 declares TensorFlow 2.21 but works with 2.20, and no older version
# imports with the protobuf of TensorFlow 2.20. So no extra of this package can name it.
INSTALL_COMMAND = 'pip install --no-deps "tensorflow-serving-api>=2.21,<2.22"'


def serving_proto(module: str) -> ModuleType:
    """Import a module of `tensorflow-serving-api`.

    Args:
        module: Its name in `tensorflow_serving`, such as `"apis.predict_pb2"`.

    Raises:
        UserError: if the package is not installed, or does not work with the installed
            TensorFlow.
    """
    try:
        return importlib.import_module(f"tensorflow_serving.{module}")
    except Exception as error:  # Other versions raise various errors.
        raise UserError(
            "TensorFlow Serving's protos come with the package tensorflow-serving-api."
            f" Received: {type(error).__name__}: {error}. Install it with: "
            f"{INSTALL_COMMAND}"
        ) from error


# === Two messages without a package ===

# Copyright 2016 Google LLC. Licensed under the Apache License, Version 2.0;
# you may obtain a copy at http://www.apache.org/licenses/LICENSE-2.0. It is
# distributed "AS IS", without warranties or conditions of any kind.
# The messages are those of github.com/tensorflow/serving:
#   tensorflow_serving/servables/tensorflow/session_bundle_config.proto, commit 03f8b6b
#   tensorflow_serving/config/monitoring_config.proto, commit 021efbd
# Changed: written as descriptors, and SessionBundleConfig left out.

_Field = descriptor_pb2.FieldDescriptorProto
_WRAPPERS = wrappers_pb2.DESCRIPTOR.name


def _message(
    file: descriptor_pb2.FileDescriptorProto,
    name: str,
    fields: list[tuple[str, int | str, bool]],
) -> None:
    """Add a message; a field's number is its place, its type a scalar or a name."""
    message = file.message_type.add(name=name)
    for number, (field_name, kind, repeated) in enumerate(fields, start=1):
        field = message.field.add(name=field_name, number=number)
        field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
        if isinstance(kind, str):
            field.type, field.type_name = _Field.TYPE_MESSAGE, kind
        else:
            field.type = kind


def _batching_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="tensorflow_serving/servables/tensorflow/session_bundle_config.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[_WRAPPERS],
    )
    int64 = ".google.protobuf.Int64Value"
    _message(
        file,
        "BatchingParameters",
        [
            ("max_batch_size", int64, False),
            ("batch_timeout_micros", int64, False),
            ("max_enqueued_batches", int64, False),
            ("num_batch_threads", int64, False),
            ("thread_pool_name", ".google.protobuf.StringValue", False),
            ("allowed_batch_sizes", _Field.TYPE_INT64, True),
            ("pad_variable_length_inputs", _Field.TYPE_BOOL, False),
        ],
    )
    return file


def _monitoring_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="tensorflow_serving/config/monitoring_config.proto",
        package="tensorflow.serving",
        syntax="proto3",
        options=descriptor_pb2.FileOptions(cc_enable_arenas=True),
    )
    _message(
        file,
        "PrometheusConfig",
        [("enable", _Field.TYPE_BOOL, False), ("path", _Field.TYPE_STRING, False)],
    )
    prometheus = ".tensorflow.serving.PrometheusConfig"
    _message(file, "MonitoringConfig", [("prometheus_config", prometheus, False)])
    return file


FILES = (_batching_file(), _monitoring_file())

# A pool of their own: a program may also have the real modules in the default
# pool, where a second definition of a message is an error.
_POOL = descriptor_pool.DescriptorPool()
_POOL.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
for _file in FILES:
    _POOL.AddSerializedFile(_file.SerializeToString())


def _message_class(name: str) -> type:
    descriptor = _POOL.FindMessageTypeByName(f"tensorflow.serving.{name}")
    return message_factory.GetMessageClass(descriptor)


BatchingParameters = _message_class("BatchingParameters")
MonitoringConfig = _message_class("MonitoringConfig")
