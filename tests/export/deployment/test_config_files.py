"""The three configurations parse with TensorFlow Serving's protos."""

import pytest

from adapters_tf.errors import UserError
from adapters_tf.export.deployment import config_files
from adapters_tf.export.deployment.config_files import BatchingSettings


def test_models_config_names_the_model_and_its_newest_version():
    text = config_files.models_config("toy", '/models/a "b" é')
    (model,) = config_files.check_models_config(text).model_config_list.config
    assert (model.name, model.base_path) == ("toy", '/models/a "b" é')
    assert model.model_platform == "tensorflow"
    assert model.model_version_policy.latest.num_versions == 1
    # What the comment and the README say to write for a rollback.
    policy = text.replace("latest {\n        num_versions: 1", "specific { versions: 1")
    (model,) = config_files.check_models_config(policy).model_config_list.config
    assert list(model.model_version_policy.specific.versions) == [1]


@pytest.mark.parametrize(
    ("size", "allowed"),
    [
        (1, [1]),
        (2, [1, 2]),
        (3, [1, 2, 3]),
        (10, [1, 2, 3, 4, 6, 8, 10]),
        (64, [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]),
    ],
)
def test_batching_config(size, allowed):
    settings = BatchingSettings(size, 0, 7, 2)
    text = config_files.batching_config(settings)
    config = config_files.check_batching_config(text)
    assert config.max_batch_size.value == size
    assert config.batch_timeout_micros.value == 0
    assert config.HasField("batch_timeout_micros")  # 0 is not the default of 10 ms
    assert config.max_enqueued_batches.value == 7
    assert config.num_batch_threads.value == 2
    assert list(config.allowed_batch_sizes) == allowed
    assert config.pad_variable_length_inputs is False
    assert "FIRST element" in text


@pytest.mark.parametrize("name", ["max_batch_size", "num_batch_threads"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True])
def test_batching_settings_out_of_range(name, value):
    with pytest.raises(UserError, match=f"{name} must be an integer of at least 1"):
        BatchingSettings(**{name: value})


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("inputs: false", "inputs: true", "must be false"),
        ("sizes: 64", "sizes: 65", "end with max_batch_size"),
        ("sizes: 48", "sizes: 32", "must rise"),
        ("max_batch_size", "max_batchsize", "BatchingParameters"),
    ],
)
def test_unsafe_batching_config_is_refused(old, new, match):
    text = config_files.batching_config(BatchingSettings())
    assert old in text
    with pytest.raises(UserError, match=match):
        config_files.check_batching_config(text.replace(old, new))


def test_monitoring_config():
    config = config_files.check_monitoring_config(config_files.monitoring_config())
    assert config.prometheus_config.enable is True
    assert config.prometheus_config.path == "/monitoring/prometheus/metrics"
    with pytest.raises(UserError, match="MonitoringConfig"):
        config_files.check_monitoring_config("prometheus { enable: true }")


def test_models_config_that_names_no_model_or_one_twice():
    with pytest.raises(UserError, match="at least one model"):
        config_files.check_models_config("model_config_list {}")
    twice = "model_config_list { config { name: 'a' } config { name: 'a' } }"
    with pytest.raises(UserError, match="each once"):
        config_files.check_models_config(twice)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "..", "a b", "é", "a\n"])
def test_model_name(name):
    with pytest.raises(UserError, match="model_name must be"):
        config_files.models_config(name, "/models/x")
