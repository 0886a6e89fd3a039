"""What one reads where tensorflow-serving-api is not installed."""

import sys

import pytest

from adapters_tf.errors import UserError
from adapters_tf.export.deployment.serving_api import INSTALL_COMMAND, serving_proto


def test_the_error_names_the_command(monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == "tensorflow_serving":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    with pytest.raises(UserError, match="tensorflow-serving-api") as error:
        serving_proto("apis.predict_pb2")
    assert str(error.value).endswith(INSTALL_COMMAND)
    assert '--no-deps "tensorflow-serving-api>=2.21,<2.22"' in INSTALL_COMMAND
