"""Makes tests/convert/fixtures with the real `adapters` library.

    python -m venv peer && peer/bin/pip install adapters==1.3.0 torch
    peer/bin/python tests/convert/make_fixtures.py tests/convert/fixtures

Random weights of a BERT of 5,000 parameters; nothing trained. The files in the
repository are of adapters 1.3.0, transformers 4.57.6 and torch 2.13.0.
"""

import json
import shutil
import sys
from pathlib import Path

import adapters
import numpy as np
import torch
from adapters import BertAdapterModel
from safetensors.numpy import save_file
from transformers import BertConfig

WORDS = "the a film plot was is good bad fine poor who wrote it very so not".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", "?", "##s"]
LENGTH = 12
SIZES = dict(
    vocab_size=len(VOCABULARY),
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=LENGTH,
    hidden_dropout_prob=0.2,
    attention_probs_dropout_prob=0.2,
)


def randomize(module, seed):
    """Large enough values that a tensor in the wrong place shows."""
    random = np.random.default_rng(seed)
    with torch.no_grad():
        for name, value in sorted(module.named_parameters()):
            new = random.normal(0, 0.3, value.shape).astype("float32")
            if "LayerNorm.weight" in name:
                new += 1
            value.copy_(torch.from_numpy(new))


def random_inputs(n=4):
    random = np.random.default_rng(7)
    mask = np.arange(LENGTH) < np.array([[12], [5], [9], [3]])
    return {
        "input_ids": random.integers(5, SIZES["vocab_size"], (n, LENGTH)) * mask,
        "token_type_ids": random.integers(0, 2, (n, LENGTH)) * mask,
        "attention_mask": mask.astype("int64"),
    }


def model(base):
    return BertAdapterModel.from_pretrained(str(base))


def outputs(net, inputs):
    net.eval()
    with torch.no_grad():
        out = net(**{k: torch.from_numpy(v) for k, v in inputs.items()})
    if "start_logits" in out:
        return torch.stack([out.start_logits, out.end_logits], -1).numpy()
    return out.logits.numpy()


def make_base(path):
    net = BertAdapterModel(BertConfig(**SIZES))
    randomize(net, 0)
    net.save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (path / "tokenizer_config.json").write_text('{"do_lower_case": true}\n')


def classifier(net, name, labels, **kwargs):
    names = dict(enumerate(labels))
    net.add_classification_head(name, num_labels=len(labels), id2label=names, **kwargs)


def houlsby(net):
    net.add_adapter("films", config=adapters.DoubleSeqBnConfig(reduction_factor=2))
    classifier(net, "films", ("bad", "so-so", "good"), layers=1, use_pooler=True)


def pfeiffer(net):
    net.add_adapter("mood", config=adapters.SeqBnConfig(reduction_factor=3))
    classifier(net, "mood", ("sad", "glad"), layers=1)


def one_block(net):
    config = adapters.SeqBnConfig(
        reduction_factor=4, leave_out=[0], non_linearity="gelu_new", scaling=0.5
    )
    net.add_adapter("score", config=config)
    net.add_classification_head("score", num_labels=1, layers=1, use_pooler=True)


def questions(net):
    config = adapters.DoubleSeqBnConfig(reduction_factor=4, non_linearity="gelu")
    net.add_adapter("squad", config=config)
    net.add_qa_head("squad")


def two_layers(net):
    net.add_adapter("deep", config=adapters.SeqBnConfig(reduction_factor=4))
    classifier(net, "deep", ("no", "yes"))  # the library's default head


def topics(net):
    net.add_adapter("topics", config=adapters.SeqBnConfig(reduction_factor=4))
    classifier(net, "topics", ("art", "law", "sea"), multilabel=True)  # two layers


def tags(net):
    net.add_adapter("ner", config=adapters.DoubleSeqBnConfig(reduction_factor=4))
    # In the order of old examples of Hugging Face, `O` last.
    names = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")
    net.add_tagging_head("ner", num_labels=5, id2label=dict(enumerate(names)))


# Directory -> what to add to the model, and in which format it is saved.
CASES = {
    "houlsby": (houlsby, False),
    "pfeiffer": (pfeiffer, False),
    "one_block": (one_block, False),
    "questions": (questions, True),
    "two_layers": (two_layers, True),
    "topics": (topics, False),
    "tags": (tags, False),
}


def main(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    base = folder / "base"
    make_base(base)
    inputs = random_inputs()
    arrays = {name: value.astype("int32") for name, value in inputs.items()}
    for seed, (directory, (add, safe)) in enumerate(CASES.items(), 1):
        net = model(base)
        add(net)
        (name,) = net.adapters_config.adapters
        net.set_active_adapters(name)
        added = torch.nn.ModuleDict(
            {
                k.replace(".", "_"): m
                for k, m in net.named_modules()
                if k.endswith(f"adapters.{name}") or k == f"heads.{name}"
            }
        )
        randomize(added, seed)
        net.save_adapter(
            str(folder / directory), name, with_head=True, use_safetensors=safe
        )
        arrays[directory] = outputs(net, inputs)
        if directory == "houlsby":
            # As Google's BERT computes.
            tanh = BertAdapterModel.from_pretrained(str(base), hidden_act="gelu_new")
            tanh.load_adapter(str(folder / directory), set_active=True)
            arrays["houlsby_on_gelu_new"] = outputs(tanh, inputs)
            state = torch.load(folder / directory / "pytorch_adapter.bin")
            torch.save(
                state, folder / "legacy.bin", _use_new_zipfile_serialization=False
            )
    net = BertAdapterModel.from_pretrained(str(base))
    net.add_classification_head("none", layers=1, num_labels=2)
    with torch.no_grad():
        tensors = {k: torch.from_numpy(v) for k, v in inputs.items()}
        out = net.eval().bert(**tensors)
    arrays["base_sequence"] = out.last_hidden_state.numpy()
    arrays["base_pooled"] = out.pooler_output.numpy()
    save_file(
        {k: np.ascontiguousarray(v) for k, v in arrays.items()},
        folder / "expected.safetensors",
    )
    versions = {"adapters": adapters.__version__, "torch": torch.__version__}
    (folder / "versions.json").write_text(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
