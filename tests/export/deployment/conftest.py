"""A small servable like a real one, and two servers for it."""

import concurrent.futures
import contextlib
import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "film", "quiet", "good", "the", "who"]
SEQ_LENGTH = 16
VOCABULARY_SIZE = 32
SERVABLE = {
    "format_version": 1,
    "base_fingerprint": "sha256:" + "0" * 64,
    "base_shard_sha256": "0" * 64,
    "seq_length": SEQ_LENGTH,
    "task_signatures": True,
    "tasks": {
        "sentiment": {
            "kind": "classification",
            "labels": ["neg", "pos"],
            "text_columns": ["text"],
        },
        "entails": {
            "kind": "classification",
            "labels": ["yes", "no", "maybe"],
            "text_columns": ["premise", "hypothesis"],
        },
        "likeness": {
            "kind": "regression",
            "labels": [],
            "text_columns": ["first", "second"],
        },
        "questions": {
            "kind": "question_answering",
            "labels": [],
            "text_columns": ["question", "context"],
        },
    },
}
for index, entry in enumerate(SERVABLE["tasks"].values()):
    entry["index"] = index
TEXT = tf.TensorSpec([None], tf.string)
TOKENS = tf.TensorSpec([None, None], tf.int32)
TOKEN_INPUTS = {
    name: TOKENS for name in ("input_word_ids", "input_mask", "input_type_ids")
}


class ToyServable(tf.Module):
    """One table of embeddings, one matrix a task; strings through TF.Text."""

    def __init__(self):
        super().__init__()
        random = np.random.default_rng(0)
        self.table = tf.Variable(random.normal(size=(VOCABULARY_SIZE, 4)), False)
        self.tokenizer = tf_text.FastWordpieceTokenizer(
            WORDS,
            unknown_token="[UNK]",
            token_out_type=tf.int32,
            support_detokenization=False,
        )
        self.kernels = {
            name: tf.Variable(random.normal(size=(4, max(len(task["labels"]), 2))))
            for name, task in SERVABLE["tasks"].items()
        }

    def tokens(self, text, text_pair):
        ids = [
            self.tokenizer.tokenize(tf_text.case_fold_utf8(part))
            for part in (text, text_pair)
        ]
        trimmed = tf_text.RoundRobinTrimmer(SEQ_LENGTH - 3).trim(ids)
        ids, types = tf_text.combine_segments(trimmed, 2, 3)
        shape = [None, SEQ_LENGTH]
        return {
            "input_word_ids": ids.to_tensor(shape=shape),
            "input_mask": tf.ones_like(ids).to_tensor(shape=shape),
            "input_type_ids": types.to_tensor(shape=shape),
        }

    def logits(self, name, inputs):
        """[batch, length, outputs]"""
        vectors = tf.gather(self.table, inputs["input_word_ids"])
        mask = tf.cast(inputs["input_mask"], tf.float64)[..., None]
        return tf.cast((vectors * mask) @ self.kernels[name], tf.float32)

    def on_tokens(self, name, inputs):
        task = SERVABLE["tasks"][name]
        logits = self.logits(name, inputs)
        rows = tf.shape(logits)[0]
        if task["kind"] == "question_answering":
            return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}
        pooled = tf.reduce_sum(logits, 1)
        if task["kind"] == "regression":
            return {"score": pooled[:, 0]}
        labels = tf.constant(task["labels"])
        return {
            "label": tf.gather(labels, tf.argmax(pooled, -1)),
            "labels": tf.tile(labels[None], [rows, 1]),
            "probabilities": tf.nn.softmax(pooled),
        }

    def on_text(self, name, text, text_pair):
        outputs = self.on_tokens(name, self.tokens(text, text_pair))
        if "start_logits" not in outputs:
            return outputs
        start = tf.argmax(outputs["start_logits"], -1, tf.int32)
        length = tf.strings.length(text_pair, "UTF8_CHAR")
        start, end = tf.minimum(start, length), tf.minimum(start + 4, length)
        answer = tf.strings.substr(text_pair, start, end - start, "UTF8_CHAR")
        score = tf.reduce_max(outputs["start_logits"], -1)
        places = {"answer_start": start, "answer_end": end}
        return {"answer": answer, "score": score} | places

    def mixed(self, text, text_pair, task):
        names = list(SERVABLE["tasks"])
        all_scores = [
            tf.reduce_sum(self.logits(name, self.tokens(text, text_pair)), 1)[:, 0]
            for name in names
        ]
        is_task = task[:, None] == tf.constant(names)[None]
        score = tf.reduce_sum(tf.where(is_task, tf.stack(all_scores, 1), 0.0), axis=1)
        known = tf.reduce_any(is_task, 1)
        unknown = tf.where(task == "", "no task", "unknown task")
        return {"status": tf.where(known, "ok", unknown), "score": score}


def concrete(function, **specs):
    return tf.function(function, autograph=False).get_concrete_function(**specs)


def task_signatures(model, name):
    """The two signatures of a task."""

    def on_tokens(input_word_ids, input_mask, input_type_ids):
        inputs = {"input_word_ids": input_word_ids, "input_mask": input_mask}
        return model.on_tokens(name, inputs | {"input_type_ids": input_type_ids})

    def on_pair(text, text_pair):
        return model.on_text(name, text, text_pair)

    def on_text(text):
        return model.on_text(name, text, tf.fill(tf.shape(text), ""))

    if len(SERVABLE["tasks"][name]["text_columns"]) == 2:
        strings = concrete(on_pair, text=TEXT, text_pair=TEXT)
    else:
        strings = concrete(on_text, text=TEXT)
    return {name: concrete(on_tokens, **TOKEN_INPUTS), f"{name}_text": strings}


def save_version(path):
    """Write the toy's SavedModel and servable.json."""
    model = ToyServable()
    signatures = {}
    for name in SERVABLE["tasks"]:
        signatures |= task_signatures(model, name)
    mixed = concrete(model.mixed, text=TEXT, text_pair=TEXT, task=TEXT)
    signatures["mixed_text"] = signatures["serving_default"] = mixed
    tf.saved_model.save(model, str(path), signatures)
    (path / "assets.extra").mkdir()
    (path / "assets.extra" / "servable.json").write_text(json.dumps(SERVABLE))


@pytest.fixture(scope="session")
def saved_servable(shared_artefact):
    """The toy servable, which no test may change."""

    def save(path):
        (path / "S" / "base").mkdir(parents=True)
        save_version(path / "S" / "1")

    return shared_artefact("toy_servable", save) / "S"


@pytest.fixture
def servable(saved_servable, tmp_path):
    """A copy of the toy servable, with version 1."""
    return shutil.copytree(saved_servable, tmp_path / "S")


class Ports:
    """Where a server for TensorFlow Serving's two protocols listens."""

    def __init__(self, grpc_port, rest_port, model_name):
        self.grpc = f"127.0.0.1:{grpc_port}"
        self.rest_port = rest_port
        self.rest = f"http://127.0.0.1:{rest_port}"
        self.model_name = model_name


def rest_handler(session, model_name):
    """A handler that answers like TensorFlow Serving: status, and rows of strings."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def answer(self, code, content):
            body = json.dumps(content, indent=1).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            if self.path != f"/v1/models/{model_name}":
                return self.answer(404, {"error": f"no {self.path}"})
            version = {"version": "1", "state": self.server.state, "status": {}}
            return self.answer(200, {"model_version_status": [version]})

        def do_POST(self):
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            if self.path != f"/v1/models/{model_name}:predict":
                return self.answer(404, {"error": f"no {self.path}"})
            rows = body["instances"]
            inputs = {
                key: np.array([row[key].encode() for row in rows], object)
                for key in rows[0]
            }
            outputs = session.run(body["signature_name"], inputs)
            columns = {key: value.tolist() for key, value in outputs.items()}
            rows = [
                {key: as_text(column[i]) for key, column in columns.items()}
                for i in range(len(rows))
            ]
            return self.answer(200, {"predictions": rows})

    return Handler


def as_text(value):
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


@pytest.fixture(scope="session")
def stand_in(saved_servable):
    """The toy behind a stand-in for TensorFlow Serving, to test clients with."""
    pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    from adapters_tf.export.session import ServingSession

    session = ServingSession(saved_servable / "1")

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            if request.model_spec.name != "toy":
                context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found")
            inputs = {key: tf.make_ndarray(t) for key, t in request.inputs.items()}
            outputs = session.run(request.model_spec.signature_name, inputs)
            response = predict_pb2.PredictResponse()
            for key, value in outputs.items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
            return response

    grpc_server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Service(), grpc_server
    )
    grpc_port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    rest_server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), rest_handler(session, "toy")
    )
    rest_server.state = "AVAILABLE"
    threading.Thread(target=rest_server.serve_forever, daemon=True).start()
    ports = Ports(grpc_port, rest_server.server_port, "toy")
    ports.rest_server = rest_server
    yield ports
    rest_server.shutdown()
    rest_server.server_close()
    grpc_server.stop(0).wait()
    session.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="session")
def model_server(saved_servable, tmp_path_factory):
    """A real `tensorflow_model_server` on the toy, with its warm-up and our files."""
    binary = shutil.which("tensorflow_model_server")
    if binary is None:
        pytest.skip("tensorflow_model_server is not on PATH; no package index has it")
    from adapters_tf.export import warmup, write_deployment
    from adapters_tf.export.deployment import config_files
    from adapters_tf.export.deployment.write import default_examples
    from adapters_tf.export.session import read_signatures

    folder = tmp_path_factory.mktemp("real")
    servable = shutil.copytree(saved_servable, folder / "S")
    examples = default_examples(SERVABLE)
    signatures = read_signatures(servable / "1")
    plan = warmup.warmup_records(signatures, examples, "toy")
    warmup.write_warmup(servable / "1", plan.records)
    files = write_deployment(servable, folder / "files", "toy")
    # The one file that names a path of the container.
    models = config_files.models_config("toy", str(servable))
    (files / "models.config").write_text(models)
    ports = Ports(free_port(), free_port(), "toy")
    command = [
        binary,
        f"--port={ports.grpc.rpartition(':')[2]}",
        f"--rest_api_port={ports.rest_port}",
        f"--model_config_file={files / 'models.config'}",
        "--enable_batching",
        f"--batching_parameters_file={files / 'batching.config'}",
        f"--monitoring_config_file={files / 'monitoring.config'}",
        "--file_system_poll_wait_seconds=1",
    ]
    ports.servable = servable
    ports.files = files
    ports.log = folder / "log.txt"
    with open(ports.log, "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until_available(ports, process)
        yield ports
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.wait()


def wait_until_available(ports, process, seconds=300):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            url = f"{ports.rest}/v1/models/{ports.model_name}"
            with urllib.request.urlopen(url, timeout=5) as response:
                if b'"AVAILABLE"' in response.read():
                    return
        time.sleep(0.5)
    pytest.fail(f"The server did not start: {ports.log.read_text()[-4000:]}")
