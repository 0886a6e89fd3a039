"""The files for Kubernetes: against its schemas, and against each other."""

import re
import subprocess

import pytest
import yaml

from adapters_tf.export.deployment import kubernetes
from adapters_tf.export.deployment.config_files import BatchingSettings
from adapters_tf.export.deployment.write import write_deployment

KINDS = (
    "ConfigMap",
    "PersistentVolumeClaim",
    "Deployment",
    "Service",
    "HorizontalPodAutoscaler",
)


@pytest.fixture
def written(servable, tmp_path):
    """Function: the folder of a deployment, and its objects by kind."""

    def write(model_name="toy", **options):
        out = write_deployment(servable, tmp_path / "out", model_name, **options)
        text = (out / "kubernetes.yaml").read_text()
        return out, {one["kind"]: one for one in yaml.safe_load_all(text)}

    return write


def container_of(objects):
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize("model_name", ["toy", "My_Model.2", "7" * 90])
@pytest.mark.parametrize("version", ["1.27", "latest"])
def test_objects_follow_the_schemas_of_kubernetes(written, model_name, version):
    validate = pytest.importorskip(
        "kubernetes_validate", reason='pip install "adapters-tf[test]" brings it'
    )
    version = validate.latest_version() if version == "latest" else version
    _, objects = written(model_name)
    assert tuple(objects) == KINDS
    for one in objects.values():
        validate.validate(one, version, strict=True)
        name = one["metadata"]["name"]
        # What the schemas do not say: a DNS label that begins with a letter.
        assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name)
    # And a field that there is not would be found.
    objects["Service"]["spec"]["port"] = 1
    with pytest.raises(validate.ValidationError):
        validate.validate(objects["Service"], version, strict=True)


def test_the_server_is_that_of_docker_compose(written):
    out, objects = written(batching=BatchingSettings(num_batch_threads=7))
    compose = yaml.safe_load((out / "docker-compose.yml").read_text())
    service = compose["services"]["serving"]
    container = container_of(objects)
    assert container["image"] == service["image"]
    assert container["args"] == service["command"]
    probe = container["readinessProbe"]["exec"]["command"]
    assert probe == container["startupProbe"]["exec"]["command"]
    assert probe == service["healthcheck"]["test"][1:]
    assert container["resources"]["requests"]["cpu"] == "7"
    ports = {port["containerPort"]: port["name"] for port in container["ports"]}
    assert ports == {8500: "grpc", 8501: "rest"}
    names = {port["targetPort"] for port in objects["Service"]["spec"]["ports"]}
    assert names == set(ports.values())
    assert container["livenessProbe"]["tcpSocket"]["port"] in names


def test_files_are_where_the_server_looks(written):
    out, objects = written("my_model")
    data = objects["ConfigMap"]["data"]
    for name, text in data.items():
        assert text == (out / name).read_text()
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    container = container_of(objects)
    mounts = {one["name"]: one for one in container["volumeMounts"]}
    for flag in container["args"]:
        if flag.endswith(".config"):
            folder, _, name = flag.partition("=")[2].rpartition("/")
            assert folder == mounts["config"]["mountPath"] and name in data
    # The whole servable: no part of it alone.
    servable = mounts["servable"]
    assert servable == {"name": "servable", "mountPath": "/models", "readOnly": True}
    assert 'base_path: "/models/my_model"' in data["models.config"]
    volumes = {one["name"]: one for one in pod["volumes"]}
    claim = volumes["servable"]["persistentVolumeClaim"]["claimName"]
    assert claim == objects["PersistentVolumeClaim"]["metadata"]["name"]
    assert volumes["config"]["configMap"]["name"] == claim
    assert objects["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_labels_and_names_meet(written):
    _, objects = written()
    deployment = objects["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert objects["Service"]["spec"]["selector"] == labels
    target = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["kind"] == "Deployment"
    assert target["name"] == deployment["metadata"]["name"] == "serving-toy"
    # The autoscaler's number would be undone whenever the file is applied.
    assert "replicas" not in deployment["spec"]


def test_the_autoscalers_metric_is_the_servers(written):
    out, objects = written()
    (metric,) = objects["HorizontalPodAutoscaler"]["spec"]["metrics"]
    rules = yaml.safe_load((out / "prometheus-adapter.yaml").read_text())["rules"]
    (rule,) = rules["custom"]
    assert rule["name"]["as"] == metric["pods"]["metric"]["name"]
    # Checked against the page of the local server, which has the stock names.
    from adapters_tf.export.server.metrics import _RequestCount

    assert f'__name__="{_RequestCount.NAME}"' in rule["seriesQuery"]
    assert f"rate({_RequestCount.NAME}{{" in rule["metricsQuery"]
    annotations = objects["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    path = annotations["prometheus.io/path"]
    assert annotations["prometheus.io/port"] == "8501"
    assert f'path: "{path}"' in objects["ConfigMap"]["data"]["monitoring.config"]


def test_other_settings_restart_the_servers(written):
    def settings(**options):
        _, objects = written(overwrite=True, **options)
        template = objects["Deployment"]["spec"]["template"]
        return template["metadata"]["annotations"]["settings"]

    first = settings()
    assert settings() == first
    assert settings(batching=BatchingSettings(max_batch_size=32)) != first


def test_resources_grow_with_the_servable():
    def resources(size):
        text = kubernetes.kubernetes_manifests("toy", {"a": "x\n"}, 4, size)
        objects = {one["kind"]: one for one in yaml.safe_load_all(text)}
        claim = objects["PersistentVolumeClaim"]["spec"]["resources"]["requests"]
        own = container_of(objects)["resources"]
        assert own["limits"]["memory"] == own["requests"]["memory"]
        return own["requests"]["memory"], claim["storage"]

    assert resources(1000) == ("2Gi", "2Gi")
    assert resources(2 << 30) == ("6Gi", "9Gi")


def test_probe_against_a_server(written, stand_in):
    _, objects = written()
    command = container_of(objects)["readinessProbe"]["exec"]["command"]
    command[-1] = command[-1].replace("/8501 ", f"/{stand_in.rest_port} ")
    assert subprocess.run(command, timeout=30, capture_output=True).returncode == 0
    stand_in.rest_server.state = "LOADING"
    try:
        assert subprocess.run(command, timeout=30, capture_output=True).returncode
    finally:
        stand_in.rest_server.state = "AVAILABLE"
