"""The messages that tensorflow-serving-api lacks are those of the `.proto` files."""

import importlib.util
import pathlib
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2

from adapters_tf.export.deployment import config_protos

PROTOS = pathlib.Path(__file__).parent / "protos"


@pytest.mark.parametrize("ours", config_protos.FILES, ids=lambda file: file.name)
def test_descriptors_are_those_of_the_proto_text(ours, tmp_path):
    tools = importlib.util.find_spec("grpc_tools")
    if tools is None:
        pytest.skip("grpcio-tools is not installed")
    own = pathlib.Path(tools.origin).parent / "_proto"
    name = pathlib.Path(ours.name).name
    out = tmp_path / "set"
    # In a process of its own: beside TensorFlow its protobuf crashes.
    command = [sys.executable, "-P", "-m", "grpc_tools.protoc", f"-I{PROTOS}"]
    command += [f"-I{own}", f"--descriptor_set_out={out}", name]
    subprocess.run(command, check=True)
    (real,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    for message in real.message_type:
        for field in message.field:
            field.ClearField("json_name")
    real.name = ours.name
    assert ours == real
