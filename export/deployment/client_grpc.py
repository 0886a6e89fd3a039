"""Asks TensorFlow Serving over gRPC, with the stock tensorflow-serving-api.

    pip install grpcio tensorflow-serving-api
    python client_grpc.py
    python client_grpc.py --text "A quiet film." --task TASK

With TensorFlow 2.20 installed, the API that works is
    pip install --no-deps "tensorflow-serving-api>=2.21,<2.22"
"""

import argparse
import json
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

MODEL_NAME = "adapters"
ROWS = [{"text": "A quiet film.", "text_pair": "", "task": ""}]


def predict(
    server: str,
    model_name: str,
    signature_name: str,
    inputs: dict[str, Any],
    timeout: float = 30,
) -> dict[str, Any]:
    """{output name: array} for {input name: list or array}."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature_name
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    with grpc.insecure_channel(server) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request, timeout=timeout)
    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


def plain(value: Any) -> Any:
    """A row of an output as what JSON can hold."""
    if isinstance(value, bytes):
        return value.decode()
    return [plain(v) for v in value] if isinstance(value, list) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--server", default="localhost:8500")
    parser.add_argument("--model_name", default=MODEL_NAME)
    parser.add_argument("--text", help="instead of the rows in this file")
    parser.add_argument("--text_pair", default="")
    parser.add_argument("--task", default="")
    args = parser.parse_args()
    rows = ROWS
    if args.text is not None:
        rows = [{"text": args.text, "text_pair": args.text_pair, "task": args.task}]
    inputs = {key: [row[key] for row in rows] for key in ("text", "text_pair", "task")}
    try:
        outputs = predict(args.server, args.model_name, "mixed_text", inputs)
    except grpc.RpcError as error:
        raise SystemExit(f"{error.code().name}: {error.details()}") from None
    columns = {name: value.tolist() for name, value in sorted(outputs.items())}
    for i, row in enumerate(rows):
        answer = {name: plain(column[i]) for name, column in columns.items()}
        print(json.dumps(row | answer, ensure_ascii=False))


if __name__ == "__main__":
    main()
