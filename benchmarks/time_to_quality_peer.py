"""The peer's run: `PYTHON peer.py SETTINGS.json`, with torch, adapters, accelerate.

Not part of the library's own process: it is run by the Python that `--peer_python`
names, and imports nothing of this library. It does what AdapterHub's example
examples/pytorch/text-classification/run_glue.py does with files of one's own, in the
same order and with the same classes; that one also loads `datasets` and `evaluate`,
whose time is left out here.
"""

import json
import time
from typing import Any

_CHUNK = 1000  # rows that are tokenised together, as in `datasets`


def main(path: str) -> None:
    began = time.perf_counter()
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    import adapters
    import numpy as np
    import torch
    import transformers
    from adapters import AdapterArguments, AdapterTrainer, AutoAdapterModel
    from adapters.training import setup_adapter_training

    stages = {"imports": time.perf_counter() - began}

    def stage(name: str) -> None:
        stages[name] = time.perf_counter() - began - sum(stages.values())

    arguments = transformers.TrainingArguments(
        output_dir=settings["output_dir"],
        num_train_epochs=settings["epochs"],
        learning_rate=settings["learning_rate"],
        per_device_train_batch_size=settings["batch_size"],
        report_to="none",
        disable_tqdm=True,
    )
    transformers.set_seed(arguments.seed)
    rows = {name: _read(settings[name]) for name in ("train", "dev")}
    labels = sorted({row["label"] for row in rows["train"]})
    preset = settings["preset"]
    config = transformers.AutoConfig.from_pretrained(preset, num_labels=len(labels))
    tokenizer = transformers.AutoTokenizer.from_pretrained(preset, use_fast=True)
    model = AutoAdapterModel.from_pretrained(preset, config=config)
    adapters.init(model)
    model.add_classification_head(
        "glue", num_labels=len(labels), id2label=dict(enumerate(labels))
    )
    stage("model")

    def features(of: list[dict[str, Any]]) -> Any:
        found = []
        for start in range(0, len(of), _CHUNK):
            part = of[start : start + _CHUNK]
            texts = [[row[name] for row in part] for name in settings["text_columns"]]
            tokens = tokenizer(
                *texts,
                padding="max_length",
                max_length=settings["seq_length"],
                truncation=True,
            )
            for i, row in enumerate(part):
                one = {name: values[i] for name, values in tokens.items()}
                found.append({**one, "label": labels.index(row["label"])})
        return found

    train, dev = features(rows["train"]), features(rows["dev"])
    stage("tokenising")

    def metrics(p: Any) -> dict[str, float]:
        logits = p.predictions[0] if isinstance(p.predictions, tuple) else p.predictions
        return {"accuracy": float((np.argmax(logits, axis=1) == p.label_ids).mean())}

    adapter = AdapterArguments(
        train_adapter=True, adapter_config=settings["adapter_config"]
    )
    setup_adapter_training(model, adapter, "glue")
    trainer = AdapterTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=dev,
        compute_metrics=metrics,
        processing_class=tokenizer,
        data_collator=transformers.default_data_collator,
    )
    trainer.train()
    trainer.save_model()
    stage("training")
    found = trainer.evaluate()
    stage("evaluation")
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    result = {
        "accuracy": found["eval_accuracy"],
        "steps": trainer.state.global_step,
        "trained_parameters": trained,
        "stages": stages,
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "adapters": adapters.__version__,
        },
    }
    with open(settings["result"], "w", encoding="utf-8") as file:
        json.dump(result, file)


def _read(path: str) -> list[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]
