"""TensorFlow Serving's protos: those built here, and the package of the others."""

import importlib.util
import pathlib
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2

from adapters_tf.errors import UserError
from adapters_tf.export import serving_protos
from adapters_tf.export.serving_protos import INSTALL_COMMAND, serving_proto

PROTOS = pathlib.Path(__file__).parent / "protos"


@pytest.mark.parametrize("ours", serving_protos.FILES, ids=lambda file: file.name)
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


def test_the_error_names_the_command(monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == "tensorflow_serving":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    with pytest.raises(UserError, match="tensorflow-serving-api") as error:
        serving_proto("apis.predict_pb2")
    assert str(error.value).endswith(INSTALL_COMMAND)
    assert '--no-deps "tensorflow-serving-api>=2.21,<2.22"' in INSTALL_COMMAND
