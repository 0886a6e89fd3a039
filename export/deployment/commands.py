"""The commands of a deployment, for its README.md."""

import json
import shlex

from adapters_tf.export.deployment.compose import (
    GRPC_PORT,
    REST_PORT,
    SERVER_FLAGS,
    SERVING_IMAGE,
    container_path,
)
from adapters_tf.export.deployment.config_files import METRICS_PATH


def commands_text(
    model_name: str, servable_dir: str, rows: list[dict[str, str]]
) -> str:
    """The text of `README.md`.

    Args:
        model_name: As in `models.config`.
        servable_dir: The servable's absolute path on the host.
        rows: Rows of the mixed signature for the example with curl.
    """
    body = json.dumps({"signature_name": "mixed_text", "instances": rows[:1]})
    mount = f"type=bind,source={servable_dir},target={container_path(model_name)}"
    flags = " \\\n    ".join(SERVER_FLAGS)
    url = f"http://localhost:{REST_PORT}"
    return f"""\
# Serving {model_name} with TensorFlow Serving

Run these in this folder. The servable's path is written in `docker-compose.yml` and
below; change it there when you move the servable.

Start the server, wait until it serves, stop it:

```bash
docker compose up -d --wait
docker compose down
```

The same without compose:

```bash
docker run -d --name {model_name} --platform linux/amd64 \\
    -p 127.0.0.1:{GRPC_PORT}:{GRPC_PORT} -p 127.0.0.1:{REST_PORT}:{REST_PORT} \\
    --mount {shlex.quote(mount + ",readonly")} \\
    --mount "type=bind,source=$PWD,target=/config,readonly" \\
    {SERVING_IMAGE} \\
    {flags}
```

Which versions are served, which signatures they have, the metrics:

```bash
curl -s {url}/v1/models/{model_name}
curl -s {url}/v1/models/{model_name}/metadata
curl -s {url}{METRICS_PATH}
```

Ask it:

```bash
curl -s {url}/v1/models/{model_name}:predict -d {shlex.quote(body)}
python client_rest.py
python client_grpc.py
```

The gRPC client needs `pip install grpcio tensorflow-serving-api`.

A version that is added to the servable is loaded within seconds, and the one before it
unloaded. To go back to version N, put `specific {{ versions: N }}` for the policy in
`models.config`, then `docker compose restart`.
"""
