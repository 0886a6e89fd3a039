"""adapters-tf-convert: adapters and bases of other libraries, in and out."""

import shlex
from typing import Any

from adapters_tf.bin.program import Groups, SubJob, require, run_sub_jobs

_USAGE = (
    "Converts adapters and bases of other libraries; torch is not needed.\n"
    "  adapters-tf-convert huggingface --input_dir=bert-base-uncased --output_dir=P\n"
    "  adapters-tf-convert from_adapterhub --input_dir=D --preset=P --output_dir=A\n"
    "  adapters-tf-convert to_adapterhub --adapter=out/adapter --output_dir=D"
)


def _define_task(g: Groups) -> None:
    g.group("Task")
    g.strings(
        "text_columns",
        None,
        "its text columns; number of the words' for tags [text; 0]",
    )
    g.integer("seq_length", 128, "longest input in tokens")


def _define_output(g: Groups, what: str, overwrite: bool = False) -> None:
    g.group("Output")
    g.string("output_dir", None, what)
    if overwrite:
        g.boolean("overwrite", False, "replace the adapter in output_dir")


def _say_adapter(flags: Any) -> None:
    from adapters_tf.models.adapter_file import load_adapter
    from adapters_tf.models.model_card import predict_command

    adapter = load_adapter(flags.output_dir)
    print(f"\nUse it:\n  {predict_command(adapter, flags.output_dir)}")


def _say_preset(flags: Any) -> None:
    preset = shlex.quote(flags.output_dir)
    print(f"\nTrain on it:\n  adapters-tf-train --preset={preset}")


# === from_adapterhub ===


def define_from_adapterhub() -> Groups:
    """The flags of `from_adapterhub`."""
    g = Groups(
        "Makes an adapter directory of an adapter of AdapterHub.\n"
        "  adapters-tf-convert from_adapterhub --input_dir=D --preset=P --output_dir=A"
    )
    g.group("Input")
    g.string("input_dir", None, "directory of model.save_adapter, with the head")
    g.string("preset", None, "its base, such as one of the job `huggingface`")
    g.boolean(
        "tanh_gelu",
        False,
        "take a base with the tanh form of GELU: its hidden_act is gelu_new",
    )
    _define_task(g)
    _define_output(g, "adapter directory", overwrite=True)
    return g


def from_adapterhub(flags: Any) -> None:
    """Convert an AdapterHub adapter."""
    require(flags, "input_dir", "preset", "output_dir")
    from adapters_tf.convert import convert_from_adapterhub

    convert_from_adapterhub(
        flags.input_dir,
        flags.preset,
        flags.output_dir,
        text_columns=flags.text_columns,
        seq_length=flags.seq_length,
        tanh_gelu=flags.tanh_gelu,
        overwrite=flags.overwrite,
        say=print,
    )
    _say_adapter(flags)


# === to_adapterhub ===


def define_to_adapterhub() -> Groups:
    """The flags of `to_adapterhub`."""
    g = Groups(
        "Writes an adapter as the library adapters (AdapterHub) loads it.\n"
        "  adapters-tf-convert to_adapterhub --adapter=out/adapter --output_dir=D"
    )
    g.group("Input")
    g.string(
        "adapter", None, "adapter directory, such as one of --tuning=adapters_only"
    )
    g.string("preset", None, "where the base is [where training loaded it]")
    g.group("Names there")
    g.string("name", None, "the adapter's [the task's]")
    g.string("model_name", None, "the base's, such as bert-base-uncased [the preset]")
    _define_output(g, "new directory")
    return g


def to_adapterhub(flags: Any) -> None:
    """Convert an adapter to AdapterHub's format."""
    require(flags, "adapter", "output_dir")
    from adapters_tf.convert import convert_to_adapterhub

    convert_to_adapterhub(
        flags.adapter,
        flags.output_dir,
        preset=flags.preset,
        name=flags.name,
        model_name=flags.model_name,
        say=print,
    )
    print(f"\nLoad it there:\n  model.load_adapter({flags.output_dir!r})")


# === from_adapter_bert ===


def define_from_adapter_bert() -> Groups:
    """The flags of `from_adapter_bert`."""
    g = Groups(
        "Makes an adapter directory of a TF1 checkpoint of adapter-bert.\n"
        "  adapters-tf-convert from_adapter_bert --checkpoint=model.ckpt-1000 "
        "--preset=P --output_dir=A"
    )
    g.group("Input")
    g.string("checkpoint", None, "checkpoint, or the directory of the training")
    g.string(
        "preset", None, "the BERT it was trained on, such as one of the job `bert`"
    )
    g.group("Names")
    g.string("name", None, "the task's [the checkpoint's]")
    g.strings("labels", None, "the classes', in the order of their numbers [0,1,...]")
    _define_task(g)
    _define_output(g, "adapter directory", overwrite=True)
    return g


def from_adapter_bert(flags: Any) -> None:
    """Convert an adapter-bert checkpoint."""
    require(flags, "checkpoint", "preset", "output_dir")
    from adapters_tf.convert import convert_from_adapter_bert

    convert_from_adapter_bert(
        flags.checkpoint,
        flags.preset,
        flags.output_dir,
        name=flags.name,
        labels=flags.labels,
        text_columns=flags.text_columns,
        seq_length=flags.seq_length,
        overwrite=flags.overwrite,
        say=print,
    )
    _say_adapter(flags)


# === bert ===


def define_bert() -> Groups:
    """The flags of `bert`."""
    g = Groups(
        "Makes a preset of a TF1 checkpoint of Google's BERT.\n"
        "  adapters-tf-convert bert --input_dir=uncased_L-12_H-768_A-12 --output_dir=P"
    )
    g.group("Input")
    g.string(
        "input_dir", None, "folder with bert_config.json, vocab.txt, the checkpoint"
    )
    g.string("checkpoint", "bert_model.ckpt", "name of the checkpoint in it")
    g.boolean("lowercase", None, "lower-case texts [by the vocabulary]")
    _define_output(g, "new directory")
    return g


def bert(flags: Any) -> None:
    """Convert a Google BERT checkpoint."""
    require(flags, "input_dir", "checkpoint", "output_dir")
    from adapters_tf.convert import convert_google_bert

    convert_google_bert(
        flags.input_dir,
        flags.output_dir,
        checkpoint=flags.checkpoint,
        lowercase=flags.lowercase,
        say=print,
    )
    _say_preset(flags)


# === huggingface ===


def define_huggingface() -> Groups:
    """The flags of `huggingface`."""
    g = Groups(
        "Makes a preset of a BERT of Hugging Face that computes what it does there.\n"
        "  adapters-tf-convert huggingface --input_dir=bert-base-uncased --output_dir=P"
    )
    g.group("Input")
    g.string(
        "input_dir",
        None,
        "folder with config.json, vocab.txt, model.safetensors or pytorch_model.bin",
    )
    g.boolean("lowercase", None, "lower-case texts [by the tokenizer's files]")
    _define_output(g, "new directory")
    return g


def huggingface(flags: Any) -> None:
    """Convert a Hugging Face BERT checkpoint."""
    require(flags, "input_dir", "output_dir")
    from adapters_tf.convert import convert_huggingface

    convert_huggingface(
        flags.input_dir, flags.output_dir, say=print, lowercase=flags.lowercase
    )
    _say_preset(flags)


JOBS = (
    SubJob(
        "from_adapterhub",
        "a bottleneck adapter of AdapterHub, with its head",
        define_from_adapterhub,
        from_adapterhub,
    ),
    SubJob(
        "to_adapterhub",
        "an adapter in AdapterHub's format",
        define_to_adapterhub,
        to_adapterhub,
    ),
    SubJob(
        "from_adapter_bert",
        "an adapter of the paper's reference code, from its TF1 checkpoint",
        define_from_adapter_bert,
        from_adapter_bert,
    ),
    SubJob(
        "bert",
        "a BERT of Google's, from its TF1 checkpoint, as a preset",
        define_bert,
        bert,
    ),
    SubJob(
        "huggingface",
        "a BERT of Hugging Face as a preset, with its own GELU",
        define_huggingface,
        huggingface,
    ),
)


def cli() -> None:
    """Entry point of `adapters-tf-convert`."""
    # Output directories are written atomically.
    run_sub_jobs(_USAGE, JOBS, interrupted="nothing was written")


if __name__ == "__main__":
    cli()
