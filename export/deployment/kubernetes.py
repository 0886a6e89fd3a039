"""Texts of a deployment's files for Kubernetes.

`kubernetes.yaml` holds the same server as `docker-compose.yml`, and
`prometheus-adapter.yaml` the rule by which its autoscaler sees the server's metric.
"""

import hashlib
import json
import math
import re
import shlex
import textwrap
from collections.abc import Mapping

from adapters_tf.export.deployment.config_files import (
    GRPC_PORT,
    METRICS_PATH,
    REST_PORT,
    SERVER_FLAGS,
    SERVING_IMAGE,
    container_path,
    health_command,
)

# The stock server's counter of requests, and its name for the autoscaler.
REQUESTS = ":tensorflow:serving:request_count"
REQUESTS_PER_SECOND = "tensorflow_serving_requests_per_second"
_GIB = 1 << 30
# A DNS label has at most 63 characters; Kubernetes adds some to names of pods.
_LONGEST_NAME = 40


def object_name(model_name: str) -> str:
    """Return the name of the Kubernetes objects of a model: a DNS label."""
    label = re.sub(r"[^a-z0-9]+", "-", model_name.lower())[:_LONGEST_NAME]
    # A service's name begins with a letter.
    return f"serving-{label.strip('-')}".strip("-")


def kubernetes_manifests(
    model_name: str, configs: Mapping[str, str], cores: int, servable_bytes: int
) -> str:
    """Return the text of `kubernetes.yaml`.

    Args:
        model_name: The name in `models.config`.
        configs: File name -> text, of the files that the server's flags name.
        cores: Of a server: `num_batch_threads` of `batching.config`.
        servable_bytes: Of the files of a version.
    """
    name = object_name(model_name)
    data = "".join(
        f"  {file}: |\n{textwrap.indent(text, '    ')}"
        for file, text in configs.items()
    )
    digest = hashlib.sha256(data.encode()).hexdigest()[:16]
    flags = "\n".join(f"            - {flag}" for flag in SERVER_FLAGS)
    health = json.dumps(["bash", "-c", health_command(model_name)])
    # While a server changes over, it holds two versions.
    memory = math.ceil(2.5 * servable_bytes / _GIB) + 1
    storage = math.ceil(4 * servable_bytes / _GIB) + 1
    return f"""\
# The stock TensorFlow Serving image on Kubernetes: kubectl apply -f kubernetes.yaml
# README.md says how the servable gets on the volume. Nobody applied this to a cluster
# yet; tests check it against Kubernetes's schemas.
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
data:
{data}---
# The servable, in the folder {model_name} of a volume that all servers share. It must
# be of a class that several nodes can mount (NFS, EFS, Filestore, Azure Files, CephFS).
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {name}
spec:
  # What is written, a new version or a task, comes from a pod or a machine that mounts
  # the volume too. If nothing writes, ReadOnlyMany is enough.
  accessModes:
    - ReadWriteMany
  # storageClassName: the cluster's class for shared volumes; often not the default.
  resources:
    requests:
      storage: {storage}Gi
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels:
    app: {name}
spec:
  # No replicas here: the autoscaler below sets them.
  selector:
    matchLabels:
      app: {name}
  strategy:
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  template:
    metadata:
      labels:
        app: {name}
      annotations:
        # Changes with the settings, so that applying others restarts the servers.
        settings: "{digest}"
        # For a Prometheus that finds pods by them. With the Prometheus Operator, make
        # a PodMonitor for the port rest and the same path.
        prometheus.io/scrape: "true"
        prometheus.io/port: "{REST_PORT}"
        prometheus.io/path: {METRICS_PATH}
    spec:
      automountServiceAccountToken: false
      # The image is built for x86-64 only.
      nodeSelector:
        kubernetes.io/arch: amd64
      # Requests that run end; the pod gets no new ones after the first ten seconds.
      terminationGracePeriodSeconds: 60
      containers:
        - name: serving
          image: {SERVING_IMAGE}
          args:
{flags}
          ports:
            - name: grpc
              containerPort: {GRPC_PORT}
            - name: rest
              containerPort: {REST_PORT}
          # The image has neither curl nor Python. The server answers 200 while it
          # loads, so the answer itself counts.
          startupProbe:
            exec:
              command: {health}
            periodSeconds: 5
            timeoutSeconds: 5
            # Ten minutes. Loading ends with the warm-up requests of every signature.
            failureThreshold: 120
          readinessProbe:
            exec:
              command: {health}
            periodSeconds: 10
            timeoutSeconds: 5
          # Only that it listens: a busy server must not be killed.
          livenessProbe:
            tcpSocket:
              port: grpc
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 6
          lifecycle:
            preStop:
              exec:
                # The services of the cluster forget the pod meanwhile.
                command: ["sleep", "10"]
          resources:
            requests:
              # num_batch_threads of batching.config. No limit: it would stall batches.
              cpu: "{cores}"
              # Two versions, and one more gigabyte to compute; measure your own.
              memory: {memory}Gi
            limits:
              memory: {memory}Gi
          securityContext:
            allowPrivilegeEscalation: false
          volumeMounts:
            # All of it: the versions, and whatever lies beside them.
            - name: servable
              mountPath: {container_path("").rstrip("/")}
              readOnly: true
            - name: config
              mountPath: /config
              readOnly: true
      volumes:
        - name: servable
          persistentVolumeClaim:
            claimName: {name}
        - name: config
          configMap:
            name: {name}
---
# TensorFlow Serving lets everybody in who reaches it: this service is for the cluster
# only. gRPC keeps one connection: balance it by clients or a mesh.
apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  selector:
    app: {name}
  ports:
    - name: grpc
      port: {GRPC_PORT}
      targetPort: grpc
    - name: rest
      port: {REST_PORT}
      targetPort: rest
---
# Needs Prometheus and prometheus-adapter with the rule of prometheus-adapter.yaml.
# Without them the number of servers stays at its minimum.
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {name}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {name}
  minReplicas: 2
  maxReplicas: 8
  metrics:
    - type: Pods
      pods:
        metric:
          name: {REQUESTS_PER_SECOND}
        target:
          type: AverageValue
          # Of one server. Put about two thirds of what yours answers at most.
          averageValue: "100"
  behavior:
    scaleDown:
      # A new server has to load and warm up.
      stabilizationWindowSeconds: 600
"""


def adapter_rules() -> str:
    """Return the text of `prometheus-adapter.yaml`."""
    return f"""\
# Values of the Helm chart prometheus-adapter, which makes the server's counter of
# requests a metric of pods for the autoscaler in kubernetes.yaml:
#   helm upgrade --install prometheus-adapter prometheus-adapter \\
#     --repo https://prometheus-community.github.io/helm-charts \\
#     --reuse-values -f prometheus-adapter.yaml
# Prometheus must name the labels namespace and pod.
rules:
  custom:
    - seriesQuery: '{{__name__="{REQUESTS}",namespace!="",pod!=""}}'
      resources:
        overrides:
          namespace:
            resource: namespace
          pod:
            resource: pod
      name:
        as: {REQUESTS_PER_SECOND}
      metricsQuery: sum(rate({REQUESTS}{{<<.LabelMatchers>>}}[1m])) by (<<.GroupBy>>)
"""


def kubernetes_commands(model_name: str, servable_dir: str) -> str:
    """Return the section of `README.md` about Kubernetes.

    Args:
        model_name: The name in `models.config`.
        servable_dir: The servable's absolute path on this machine.
    """
    name = object_name(model_name)
    return f"""
## Kubernetes

`kubernetes.yaml` has the same server with its settings, a volume, probes, a service
and an autoscaler. Put your class of shared volumes into it, and then:

```bash
kubectl apply -f kubernetes.yaml
kubectl rollout status deployment/{name} --timeout=15m
kubectl port-forward service/{name} {GRPC_PORT} {REST_PORT}
```

The servers start when the servable is on the volume, in its folder `{model_name}`.
Mount the volume on a machine, or in a pod that may write, and copy:

```bash
rsync -aH {shlex.quote(servable_dir + "/")} /mnt/volume/{model_name}/
```

`rsync` writes a file under a temporary name first, but a version must appear whole:
copy a new version under a name that is no number, and rename it at the end. Only a pod
of your own can write: the servers mount the volume read-only.

The autoscaler needs Prometheus, and prometheus-adapter with the rule of
`prometheus-adapter.yaml`.
"""
