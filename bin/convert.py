"""adapters-tf-convert: adapters and bases of other libraries, in and out."""

from adapters_tf.bin import convert_jobs
from adapters_tf.bin.program import SubJob, run_sub_jobs

_USAGE = (
    "Converts adapters and bases of other libraries; torch is not needed.\n"
    "  adapters-tf-convert huggingface --input_dir=bert-base-uncased --output_dir=P\n"
    "  adapters-tf-convert from_adapterhub --input_dir=D --preset=P --output_dir=A\n"
    "  adapters-tf-convert to_adapterhub --adapter=out/adapter --output_dir=D"
)

JOBS = (
    SubJob(
        "from_adapterhub",
        "a bottleneck adapter of AdapterHub, with its head",
        convert_jobs.define_from_adapterhub,
        convert_jobs.from_adapterhub,
    ),
    SubJob(
        "to_adapterhub",
        "an adapter in AdapterHub's format",
        convert_jobs.define_to_adapterhub,
        convert_jobs.to_adapterhub,
    ),
    SubJob(
        "from_adapter_bert",
        "an adapter of the paper's reference code, from its TF1 checkpoint",
        convert_jobs.define_from_adapter_bert,
        convert_jobs.from_adapter_bert,
    ),
    SubJob(
        "bert",
        "a BERT of Google's, from its TF1 checkpoint, as a preset",
        convert_jobs.define_bert,
        convert_jobs.bert,
    ),
    SubJob(
        "huggingface",
        "a BERT of Hugging Face as a preset, with its own GELU",
        convert_jobs.define_huggingface,
        convert_jobs.huggingface,
    ),
)


def cli() -> None:
    """Entry point of `adapters-tf-convert`."""
    # Directories get their names when they are whole.
    run_sub_jobs(_USAGE, JOBS, interrupted="nothing was written")


if __name__ == "__main__":
    cli()
